"""``GET /openapi.json``, and ``GET /docs`` with what it is made of: all of it from here, nothing from other hosts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Final

import orjson

from payloops.http.errors import no_path
from payloops.http.message import Asset, Page, Reply, Request
from payloops.http.openapi.document import build
from payloops.http.openapi.operation import Media, Operation, Parameter, documented
from payloops.http.routing import Route
from payloops.http.services import Services

_PACKAGE: Final = "payloops.http.openapi"
_BUNDLE: Final = "swagger-ui-py"
_BUNDLED: Final = ("swagger-ui.css", "swagger-ui-bundle.js")
_OWN: Final = ("docs.css", "docs.js")
_MEDIA_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DIGITS: Final = 16
_NONE_MATCH: Final = Parameter("If-None-Match", {"type": "string"}, "The ETag of the document that you have.", "header")


class Description:
    """``GET /openapi.json``: made when it is first asked for, then kept."""

    def __init__(self, table: Iterable[Route]) -> None:
        self._table = tuple(table)
        self._made: tuple[bytes, bytes] | None = None

    @documented(
        Operation(
            summary="This document",
            answers={200: Media("application/json", "The document."), 304: None},
            headers=(_NONE_MATCH,),
        )
    )
    async def __call__(self, request: Request, _services: Services) -> Reply:
        """The document, or 304 to whoever has it."""
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        body, tag = self._made
        headers = b"ETag: %b\r\n" % tag
        held = [each.strip() for each in request.headers.get("If-None-Match", "").split(",")]
        if tag.decode() in held or "*" in held:
            return Reply(304, b"", headers)
        return Reply(200, body, headers)

    def _make(self) -> tuple[bytes, bytes]:
        body = orjson.dumps(build((*self._table, *_routes(self))))
        return body, b'"%b"' % hashlib.sha256(body).hexdigest()[:_DIGITS].encode()


@documented(Operation(summary="This document as a page", answers={200: Media("text/html", "The page.")}))
async def docs(_request: Request, _services: Services) -> Page:
    """``GET /docs``."""
    return Page(200, _page(), _POLICY)


@documented(
    Operation(
        summary="A part of the page",
        answers={200: Media("text/javascript", "A script or a style sheet.", ("text/css",))},
        path={"name": {"type": "string", "enum": [*_BUNDLED, *_OWN]}},
    )
)
async def asset(request: Request, _services: Services) -> Asset:
    """``GET /docs/assets/:name``. Raises NotFound."""
    name = request.params[0]
    if name not in _BUNDLED and name not in _OWN:
        raise no_path()
    return await asyncio.to_thread(_asset, name)


def documentation(table: Iterable[Route]) -> tuple[Route, ...]:
    """The routes that describe these routes and themselves."""
    return _routes(Description(table))


def _routes(description: Description) -> tuple[Route, ...]:
    return (
        Route("GET", "/openapi.json", description, "public"),
        Route("GET", "/docs", docs, "public"),
        Route("GET", "/docs/assets/:name", asset, "public"),
    )


@cache
def _page() -> bytes:
    """The page; its parts have addresses that change with what is in them, for they may be kept for ever."""
    digest = hashlib.sha256(metadata.version(_BUNDLE).encode())
    for name in _OWN:
        digest.update(_own(name))
    return _own("docs.html").replace(b"{version}", digest.hexdigest()[:_DIGITS].encode())


@cache
def _asset(name: str) -> Asset:
    body = _own(name) if name in _OWN else _bundled(name)
    return Asset(body, _MEDIA_TYPES[name.rpartition(".")[2]])


def _own(name: str) -> bytes:
    return resources.files(_PACKAGE).joinpath("static", name).read_bytes()


def _bundled(name: str) -> bytes:
    """A file of the package that carries Swagger UI; its code is not imported."""
    return Path(str(metadata.distribution(_BUNDLE).locate_file(f"swagger_ui/static/{name}"))).read_bytes()
