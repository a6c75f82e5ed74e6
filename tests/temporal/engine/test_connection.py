"""How the server is reached and made ready: TLS, keys, what it forbids, and what its errors mean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import TLSConfig
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from payloops.config import Settings
from payloops.errors import ConfigurationError, Unavailable
from payloops.temporal_server import TemporalServer
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress, passing
from payloops.workflows_bridge.temporal.preparation import Preparation
from tests.parts import open_directory
from tests.temporal import servers

pytestmark = pytest.mark.temporal

NOWHERE = ServerAddress(address="127.0.0.1:1", namespace="loop")


# ------------------------------------------------------------------------------------------------------------- settings


def settings(**more: str) -> Settings:
    return Settings.from_env({"TEMPORAL_ADDRESS": "temporal.internal:7233", **more})


def test_a_plain_server_by_default() -> None:
    server = ServerAddress.from_settings(settings(TEMPORAL_NAMESPACE="shop"))
    assert server == ServerAddress(address="temporal.internal:7233", namespace="shop", tls=False, api_key=None)


def test_an_api_key_goes_over_tls_only_and_is_shown_nowhere() -> None:
    server = ServerAddress.from_settings(settings(TEMPORAL_API_KEY="canary-key"))
    assert (server.tls, server.api_key) == (True, "canary-key")
    assert "canary" not in repr(server)
    assert "canary" not in repr(settings(TEMPORAL_API_KEY="canary-key"))
    assert ServerAddress.from_settings(settings(TEMPORAL_TLS="true")).tls is True


def test_a_certificate_is_read_from_its_files() -> None:
    with open_directory() as place:
        for name in ("crt", "key", "ca"):
            (place / name).write_text(f"canary {name}")
        files = {"TEMPORAL_TLS_CERT": f"{place}/crt", "TEMPORAL_TLS_KEY": f"{place}/key"}
        server = ServerAddress.from_settings(settings(**files, TEMPORAL_TLS_CA=f"{place}/ca"))
        assert isinstance(server.tls, TLSConfig)
        assert server.tls.client_cert == b"canary crt"
        assert server.tls.client_private_key == b"canary key"
        assert server.tls.server_root_ca_cert == b"canary ca"
        assert "canary" not in repr(server)
        with pytest.raises(ConfigurationError, match="TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY belong together"):
            settings(TEMPORAL_TLS_CERT=f"{place}/crt")
        with pytest.raises(ConfigurationError, match="TEMPORAL_TLS_CA can't be read: No such file"):
            ServerAddress.from_settings(settings(TEMPORAL_TLS_CA=f"{place}/none"))


def test_without_an_address_there_is_no_server() -> None:
    with pytest.raises(ConfigurationError, match="TEMPORAL_ADDRESS is needed"):
        ServerAddress.from_settings(Settings.from_env({"WORKFLOW_ENGINE": "temporal"}))


# ------------------------------------------------------------------------------------------------------------------ TLS


@asynccontextmanager
async def behind_tls(server: TemporalServer, certificates: Path) -> AsyncIterator[str]:
    """The server's address behind a proxy that wants a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "localhost.crt", certificates / "localhost.key")
    context.load_verify_locations(certificates / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    host, port = server.address.rsplit(":", 1)
    passing_on: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        for one in (copy(reader, far_writer), copy(far_reader, writer)):
            task = asyncio.create_task(one)
            passing_on.add(task)

    proxy = await asyncio.start_server(accept, "localhost", 0, ssl=context)
    try:
        yield f"localhost:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in passing_on:
            task.cancel()
        await asyncio.gather(*passing_on, return_exceptions=True)


def settings_of(certificates: Path, address: str, **files: str) -> ServerAddress:
    """``files`` are those of the settings, by their end: ``cert="client.crt"``."""
    given = {f"TEMPORAL_TLS_{name.upper()}": f"{certificates}/{file}" for name, file in files.items()}
    return ServerAddress.from_settings(Settings.from_env({"TEMPORAL_ADDRESS": address, **given}))


OURS = {"cert": "client.crt", "key": "client.key", "ca": "ca.crt"}


async def test_a_server_that_wants_our_certificate_gets_it(temporal_server: TemporalServer, certificates: Path) -> None:
    async with behind_tls(temporal_server, certificates) as address:
        assert await Connection(settings_of(certificates, address, **OURS), part="test").trouble(within_s=5) is None


@pytest.mark.parametrize(
    ("files", "why"),
    (
        ({"ca": "ca.crt"}, "it refuses our certificate, or wants one"),
        ({}, "it cuts the connection, and may want TLS"),
        ({**OURS, "ca": "stranger.crt"}, "no authority that we trust signed its certificate (TEMPORAL_TLS_CA)"),
        ({**OURS, "cert": "stranger.crt", "key": "stranger.key"}, "it refuses our certificate, or wants one"),
        ({**OURS, "key": "localhost.key"}, "TEMPORAL_TLS_KEY is not the key of TEMPORAL_TLS_CERT"),
        ({**OURS, "cert": "client.key", "key": "client.crt"}, "TEMPORAL_TLS_CERT or TEMPORAL_TLS_KEY holds no PEM"),
    ),
)
async def test_a_wrong_certificate_is_one_clear_line(
    temporal_server: TemporalServer, certificates: Path, files: dict[str, str], why: str
) -> None:
    async with behind_tls(temporal_server, certificates) as address:
        connection = Connection(settings_of(certificates, address, **files), part="test")
        for _ in range(2):  # the second time it is not tried, for it was a moment ago
            assert await connection.trouble(within_s=5) == f"Temporal at {address} does not answer: {why}."


async def test_a_name_that_a_certificate_is_not_for_and_a_server_without_tls(
    temporal_server: TemporalServer, certificates: Path
) -> None:
    async with behind_tls(temporal_server, certificates) as address:
        other = address.replace("localhost", "127.0.0.1")
        told = await Connection(settings_of(certificates, other, **OURS), part="test").trouble(within_s=5)
        why = "its certificate is for another name than that of TEMPORAL_ADDRESS"
        assert told == f"Temporal at {other} does not answer: {why}."
    plain = temporal_server.address
    told = await Connection(settings_of(certificates, plain, **OURS), part="test").trouble(within_s=5)
    assert told == f"Temporal at {plain} does not answer: it speaks no TLS (TEMPORAL_TLS)."


# --------------------------------------------------------------------------------------------------------------- errors


def rpc_error(status: RPCStatusCode, message: str = "canary") -> RPCError:
    return RPCError(message, status, b"")


@pytest.mark.parametrize(
    ("status", "message", "passes"),
    (
        (RPCStatusCode.UNAVAILABLE, "", True),
        (RPCStatusCode.DEADLINE_EXCEEDED, "", True),
        (RPCStatusCode.RESOURCE_EXHAUSTED, "", True),
        (RPCStatusCode.UNAUTHENTICATED, "", True),
        (RPCStatusCode.PERMISSION_DENIED, "", True),
        (RPCStatusCode.NOT_FOUND, "Namespace loop is not found.", True),
        (RPCStatusCode.NOT_FOUND, "workflow not found for ID: x", False),
        (RPCStatusCode.INVALID_ARGUMENT, "", False),
        (RPCStatusCode.FAILED_PRECONDITION, "", False),
    ),
)
async def test_what_every_call_would_meet_is_no_rows_fault(status: RPCStatusCode, message: str, passes: bool) -> None:
    trouble = passing(rpc_error(status, message), NOWHERE)
    assert (trouble is not None) is passes
    assert (await Connection(NOWHERE, part="test").passing(rpc_error(status, message)) is not None) is passes


async def test_an_error_that_does_not_tell_is_judged_by_a_look_at_the_server(temporal_server: TemporalServer) -> None:
    well = Connection(ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE), part="test")
    away = Connection(NOWHERE, part="test")
    for status in (RPCStatusCode.INTERNAL, RPCStatusCode.UNKNOWN):
        assert await well.passing(rpc_error(status)) is None
        assert isinstance(await away.passing(rpc_error(status)), Unavailable)


async def test_many_who_ask_at_once_make_one_connection(temporal_server: TemporalServer) -> None:
    connection = Connection(ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE), part="test")
    clients = await asyncio.gather(*(connection.client() for _ in range(20)))
    assert len({id(client) for client in clients}) == 1


async def test_who_gives_up_does_not_break_off_the_connecting(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a server that is further away than anybody's patience would never be reached."""
    connection = Connection(ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE), part="test")
    connect, far, begun = connection._connect, asyncio.Event(), 0

    async def connect_slowly() -> Any:
        nonlocal begun
        begun += 1
        await far.wait()
        return await connect()

    monkeypatch.setattr(connection, "_connect", connect_slowly)
    for _ in range(3):
        assert await connection.trouble(within_s=0.01) is not None
    far.set()
    await connection.client()
    assert begun == 1


async def test_a_missing_namespace_is_told() -> None:
    with open_directory() as place, servers.dev_server(place) as server:
        missing = Connection(ServerAddress(address=server.address, namespace="nobodys"), part="test")
        assert await missing.trouble(within_s=5) == f"Temporal at {server.address} has no namespace nobodys."


# ---------------------------------------------------------------------------------------------------------- preparation


class Forbidding:
    """A server as a strict operator runs it; every call but those that are allowed is refused."""

    namespace = "loop"

    def __init__(self, *allowed: str, known: tuple[str, ...] = ()) -> None:
        self._allowed = allowed
        self._known = known
        self.calls: list[str] = []
        self.workflow_service = self.operator_service = self

    def __getattr__(self, name: str) -> Any:
        async def call(_request: object, **_: object) -> Any:
            self.calls.append(name)
            if name not in self._allowed:
                raise rpc_error(RPCStatusCode.PERMISSION_DENIED, f"{name} is not allowed")
            return SimpleNamespace(custom_attributes=dict.fromkeys(self._known, 2))

        return call


class Connected:
    """A connection to such a server."""

    server = NOWHERE

    def __init__(self, client: Forbidding) -> None:
        self._client = client

    async def client(self) -> Forbidding:
        return self._client


def prepared(client: Forbidding) -> Preparation:
    return Preparation(cast("Connection", Connected(client)))


VALUES: dict[str, str | None] = {"CorrelationId": "c", "MerchantId": "m", "OrderId": None}


def names(preparation: Preparation) -> set[str]:
    return {pair.key.name for pair in preparation.attributes(VALUES)}


async def test_a_server_that_forbids_the_attributes_is_used_without(caplog: pytest.LogCaptureFixture) -> None:
    client = Forbidding("list_search_attributes", known=("MerchantId",))
    preparation = prepared(client)
    for _ in range(3):
        await preparation.client()
    assert names(preparation) == {"MerchantId"}
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("Temporal lacks the search attributes CorrelationId, OrderId, and we may not add them;")
    assert client.calls == ["describe_namespace", "list_search_attributes", "add_search_attributes"]


async def test_who_may_not_even_look_tries_the_attributes_and_drops_them(caplog: pytest.LogCaptureFixture) -> None:
    preparation = prepared(Forbidding())
    await preparation.client()
    assert names(preparation) == {"CorrelationId", "MerchantId"}
    refusal = rpc_error(RPCStatusCode.INVALID_ARGUMENT, "Namespace loop has no mapping for search attribute OrderId")
    assert preparation.refused(refusal)
    assert names(preparation) == set()
    assert not preparation.refused(refusal)
    assert not preparation.refused(rpc_error(RPCStatusCode.INVALID_ARGUMENT, "the id is too long"))
    assert len(caplog.records) == 1


async def test_attributes_that_were_just_registered_take_a_moment() -> None:
    preparation = prepared(Forbidding("describe_namespace", "list_search_attributes", "add_search_attributes"))
    await preparation.client()
    assert names(preparation) == {"CorrelationId", "MerchantId"}
    with pytest.raises(Unavailable):
        preparation.refused(rpc_error(RPCStatusCode.INVALID_ARGUMENT, "no mapping for search attribute OrderId"))


def test_only_what_there_is_is_an_attribute() -> None:
    preparation = prepared(Forbidding())
    preparation._known = frozenset(VALUES)
    pairs = list(preparation.attributes(VALUES))
    assert [(pair.key, pair.value) for pair in pairs] == [
        (SearchAttributeKey.for_keyword("CorrelationId"), "c"),
        (SearchAttributeKey.for_keyword("MerchantId"), "m"),
    ]
