"""Routes as data: method, path, handler, who may call. The app is made from them; tests and OpenAPI walk them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from payloops.http.errors import MethodNotAllowed, no_path
from payloops.http.fields import Fields, Takes, fields_of
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import Operation, operation_of

if TYPE_CHECKING:
    from payloops.http.rate_limits import Limit
    from payloops.http.services import Services

Handler: TypeAlias = "Callable[[Request, Services], Awaitable[Reply]]"
Access = Literal["public", "api_key", "user"]
Scope = Literal["orders:read", "orders:write", "refunds:read", "refunds:write", "checkout:read", "checkout:write"]

_PARAMETER: Final = ":"
_ANY: Final = ""
_SEGMENTS_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Route:
    """One call. ``path`` has parameters as ``:id``; ``scope`` is what an API key must hold (None: any key will do).

    ``limit`` names what bounds how often it may be made; what is made with an API key is bounded per key besides.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    scope: Scope | None = None
    limit: Limit | None = None
    _takes: Mapping[str, Takes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_takes", _takes(self.handler))

    @property
    def name(self) -> str:
        """How logs, spans and metrics call it: bounded in number, without ids."""
        return f"{self.method} {self.path}"

    def taken(self, params: tuple[str, ...]) -> Takes | None:
        """What the call takes, of the processor that the path names if it names one. None where nobody said."""
        return self._takes.get(_ANY) or self._takes.get(params[0] if params else _ANY)


def _takes(handler: Handler) -> Mapping[str, Takes]:
    """By processor; ``_ANY`` for a call that is the same for all."""
    said = operation_of(handler)
    if said is None:
        return {}
    by_processor = {_ANY: said} if isinstance(said, Operation) else said
    return {processor: _taken(operation) for processor, operation in by_processor.items()}


def _taken(operation: Operation) -> Takes:
    body = None if operation.body is None else fields_of(operation.body)
    return Takes(body, Fields(frozenset(parameter.name for parameter in operation.query)))


class _Node:
    __slots__ = ("children", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of a request: literal segments go before parameters."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._literal: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._add(route)

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """The route and the decoded parameters of its path; HEAD is answered by GET's.

        Raises NotFound, MethodNotAllowed.
        """
        found = self._literal.get(path)
        if found is not None:
            return _choose(found, method), ()
        node, params = self._walk(path)
        return _choose(node.routes, method), params

    def methods(self, path: str) -> tuple[str, ...]:
        """What the path takes, OPTIONS included. Raises NotFound."""
        found = self._literal.get(path)
        return _allowed(self._walk(path)[0].routes if found is None else found)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path.strip("/").split("/"):
            if segment.startswith(_PARAMETER):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"two routes for {route.name}")
        node.routes[route.method] = route
        if _PARAMETER not in route.path:
            self._literal[route.path] = node.routes

    def _walk(self, path: str) -> tuple[_Node, tuple[str, ...]]:
        segments = _segments(path)
        node, params = self._root, []
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                child = node.parameter
                if child is None or not segment:
                    raise no_path()
                params.append(segment)
            node = child
        if not node.routes:
            raise no_path()
        return node, tuple(params)


def _segments(path: str) -> list[str]:
    """The path's decoded segments. A trailing or encoded slash, or broken UTF-8, makes a path that we don't have."""
    if path[:1] != "/":
        # The absolute form of a request to a proxy (RFC 9112, section 3.2.2); the authority form has no path.
        path = urlsplit(path).path
    segments = path[1:].split("/", _SEGMENTS_MAX)
    if "%" not in path:
        return segments
    try:
        decoded = [unquote(segment, errors="strict") for segment in segments]
    except UnicodeDecodeError:
        raise no_path() from None
    if any("/" in segment or "\0" in segment for segment in decoded):
        raise no_path()
    return decoded


def _choose(routes: dict[str, Route], method: str) -> Route:
    route = routes.get("GET" if method == "HEAD" else method)
    if route is None:
        raise MethodNotAllowed(_allowed(routes))
    return route


def _allowed(routes: dict[str, Route]) -> tuple[str, ...]:
    methods = set(routes) | {"OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    return tuple(sorted(methods))
