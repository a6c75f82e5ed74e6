"""The route table, and finding a route."""

from __future__ import annotations

import pytest

from payloops.errors import NotFound
from payloops.http.errors import MethodNotAllowed
from payloops.http.message import Reply, Request
from payloops.http.routes import routes
from payloops.http.routing import Route, Router
from payloops.http.services import Services


async def handler(_request: Request, _services: Services) -> Reply:
    return Reply(200)


PUBLIC = ("/health", "/metrics", "/openapi.json", "/docs", "/api/auth/", "/checkout/", "/webhooks/")


def route(method: str, path: str) -> Route:
    return Route(method, path, handler, "public")


TABLE = (
    route("GET", "/a"),
    route("POST", "/a"),
    route("GET", "/a/:id"),
    route("GET", "/a/new"),
    route("DELETE", "/a/:id/b/:other"),
)


@pytest.mark.parametrize(
    ("method", "path", "found", "params"),
    (
        ("GET", "/a", "GET /a", ()),
        ("HEAD", "/a", "GET /a", ()),
        ("POST", "/a", "POST /a", ()),
        ("GET", "/a/new", "GET /a/new", ()),
        ("GET", "/a/x", "GET /a/:id", ("x",)),
        ("GET", "/a/x%20y", "GET /a/:id", ("x y",)),
        ("GET", "/%61/x", "GET /a/:id", ("x",)),
        ("GET", "/a/%C3%A9", "GET /a/:id", ("é",)),
        ("DELETE", "/a/1/b/2", "DELETE /a/:id/b/:other", ("1", "2")),
        ("GET", "http://host/a/x", "GET /a/:id", ("x",)),
    ),
)
def test_routes_are_found(method: str, path: str, found: str, params: tuple[str, ...]) -> None:
    chosen, given = Router(TABLE).find(method, path)
    assert (chosen.name, given) == (found, params)


@pytest.mark.parametrize(
    "path",
    ("", "/", "a", "/a/", "//a", "/a/x/b", "/a/x/y", "/a/%2F", "/a/%00", "/a/%ff", "/a/x/b/2/c", "/A", "*", "/a//b/"),
)
def test_other_paths_are_not(path: str) -> None:
    with pytest.raises(NotFound):
        Router(TABLE).find("GET", path)
    with pytest.raises(NotFound):
        Router(TABLE).methods(path)


def test_the_allowed_methods_are_told() -> None:
    with pytest.raises(MethodNotAllowed) as refusal:
        Router(TABLE).find("PUT", "/a")
    assert refusal.value.allowed == ("GET", "HEAD", "OPTIONS", "POST")
    assert Router(TABLE).methods("/a/x/b/y") == ("DELETE", "OPTIONS")


def test_a_route_stands_once() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router((*TABLE, route("GET", "/a/:other")))


def test_the_table_of_the_service() -> None:
    table = routes()
    Router(table)
    names = [each.name for each in table]
    assert len(names) == len(set(names))
    for each in table:
        assert each.method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
        expected = "api_key" if each.path.startswith("/v1/") else "user"
        if each.access == "public":
            assert each.path.startswith(
                ("/health", "/metrics", "/api/auth/", "/checkout/", "/webhooks/", "/openapi.json", "/docs")
            )
        else:
            assert each.access == expected
        assert (each.scope is not None) == (each.access == "api_key")
