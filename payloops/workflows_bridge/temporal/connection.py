"""The connection to the Temporal server: one client for all of a process, and what the server's errors mean."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, TLSConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from payloops.config import Settings
from payloops.errors import ConfigurationError, Unavailable
from payloops.workflows_bridge.temporal.conversion import CONVERTER
from payloops.workflows_bridge.temporal.tracing import interceptors

CONNECT_TIMEOUT_S: Final = 5.0
RPC_TIMEOUT: Final = timedelta(seconds=5)
"""The deadline of one call."""
LOOK_WITHIN_S: Final = 1.0
"""How long a look at the server's health may take."""
QUIET_S: Final = 1.0
"""After a connection that could not be made, none is tried for this long: many may ask at once."""

_RETRIES: Final = RetryConfig(max_retries=1, max_elapsed_time_millis=2_000)
"""The SDK's own, for a hiccup. Who calls us knows better what to do about more than that."""

_AWAY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNIMPLEMENTED,
    }
)
"""Nothing that another row would not meet as well: wait until the server is back, or its operator has put it right."""

_UNCLEAR: Final = frozenset({RPCStatusCode.INTERNAL, RPCStatusCode.UNKNOWN})
"""A connection that broke, a server that is unwell, or one call that it can't digest."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where the server is and how it is reached. ``tls`` is False for a server without."""

    address: str
    namespace: str
    tls: bool | TLSConfig = field(default=False, repr=False)
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """From TEMPORAL_ADDRESS and its companions. Raises ConfigurationError (no address; a file can't be read)."""
        if not settings.temporal_address:
            raise ConfigurationError(
                "TEMPORAL_ADDRESS is needed by WORKFLOW_ENGINE=temporal; set it to host:port", param="TEMPORAL_ADDRESS"
            )
        return cls(
            address=settings.temporal_address,
            namespace=settings.temporal_namespace,
            tls=_tls(settings),
            api_key=settings.temporal_api_key or None,
        )


class Connection:
    """A client that is made when it is first needed, and anew for as long as that did not work.

    Once made it reconnects by itself; each call on it has a deadline of its own (RPC_TIMEOUT).
    """

    def __init__(self, server: ServerAddress, *, part: str) -> None:
        self.server = server
        self._identity = f"payloops-{part}-{os.getpid()}@{socket.gethostname()}"
        self._client: Client | None = None
        self._making: asyncio.Task[Client] | None = None
        self._quiet_until_s = 0.0
        self._why = ""

    async def client(self) -> Client:
        """The client. Raises Unavailable. Who asks may give up: the connection is made all the same, for the next."""
        if self._client is not None:
            return self._client
        if self._making is None:
            if time.monotonic() < self._quiet_until_s:
                raise away(self.server, self._why)
            self._making = asyncio.create_task(self._connect(), name="temporal-connect")
            self._making.add_done_callback(self._made)
        return await asyncio.shield(self._making)

    def _made(self, making: asyncio.Task[Client]) -> None:
        self._making = None
        # Asking for the exception also says that it was seen, should nobody wait for it any more.
        if not making.cancelled() and making.exception() is None:
            self._client = making.result()

    async def trouble(self, *, within_s: float = LOOK_WITHIN_S) -> str | None:
        """What hinders the server from taking workflows now, in a sentence; None when nothing does."""
        try:
            async with asyncio.timeout(within_s):
                client = await self.client()
                await client.workflow_service.describe_namespace(
                    DescribeNamespaceRequest(namespace=client.namespace), timeout=timedelta(seconds=within_s)
                )
        except TimeoutError:
            return away(self.server).message
        except Unavailable as problem:
            return problem.message
        except RPCError as problem:
            trouble = passing(problem, self.server)
            return trouble.message if trouble is not None else away(self.server).message
        return None

    async def passing(self, problem: RPCError) -> Unavailable | None:
        """As the function of that name; where the error does not tell, a look at the server does."""
        if problem.status in _UNCLEAR:
            trouble = await self.trouble()
            return None if trouble is None else Unavailable(trouble)
        return passing(problem, self.server)

    async def _connect(self) -> Client:
        server = self.server
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await Client.connect(
                    server.address,
                    namespace=server.namespace,
                    tls=server.tls,
                    api_key=server.api_key,
                    data_converter=CONVERTER,
                    retry_config=_RETRIES,
                    connect_timeout=timedelta(seconds=CONNECT_TIMEOUT_S),
                    identity=self._identity,
                    runtime=_runtime(),
                    interceptors=interceptors(),
                )
        except (RuntimeError, RPCError, TimeoutError) as problem:
            # The SDK raises RuntimeError for whatever hinders a first connection.
            self._quiet_until_s = time.monotonic() + QUIET_S
            self._why = _hint(str(problem), secured=bool(server.tls))
            _log.debug("no connection to Temporal: %s", problem)
            raise away(server, self._why) from problem


def away(server: ServerAddress, why: str = "") -> Unavailable:
    """The error for a server that can't be reached, or can't serve; ``why`` is a clause."""
    return Unavailable(f"Temporal at {server.address} does not answer{why and ': '}{why}.")


_HINTS: Final = (
    ("UnknownIssuer", "no authority that we trust signed its certificate (TEMPORAL_TLS_CA)"),
    ("NotValidForName", "its certificate is for another name than that of TEMPORAL_ADDRESS"),
    ("Expired", "its certificate has expired"),
    ("InvalidCertificate", "its certificate is not valid"),
    ("KeyMismatch", "TEMPORAL_TLS_KEY is not the key of TEMPORAL_TLS_CERT"),
    ("PrivateKeyParseError", "TEMPORAL_TLS_CERT or TEMPORAL_TLS_KEY holds no PEM"),
    ("CertificateParseError", "a certificate of TEMPORAL_TLS_CERT or TEMPORAL_TLS_CA is no PEM"),
    ("InvalidContentType", "it speaks no TLS (TEMPORAL_TLS)"),
    ("AlertReceived", "it refuses our certificate, or wants one"),
    ("code: Unauthenticated", "it does not accept TEMPORAL_API_KEY, or wants one"),
    ("code: PermissionDenied", "it does not let us in (TEMPORAL_API_KEY, TEMPORAL_NAMESPACE)"),
)
"""What the SDK's error for a first connection holds, and what that means to an operator."""


def _hint(problem: str, *, secured: bool) -> str:
    """A clause about TLS or credentials; empty where neither is what hinders."""
    for mark, meaning in _HINTS:
        if mark in problem:
            return meaning
    if "after connection" in problem and "transport::Error(Transport" in problem:
        # It took the connection and then cut it: so does a server when a handshake is not to its liking. How that looks
        # (a reset, a broken pipe, an early end, a closed connection) is chance.
        return "it refuses our certificate, or wants one" if secured else "it cuts the connection, and may want TLS"
    return ""


def passing(problem: RPCError, server: ServerAddress) -> Unavailable | None:
    """The error for trouble that every call would meet and that passes; None for what is wrong with this one call.

    That the namespace is missing, or not yet known to all of the server, is nothing that a workflow is to blame for.
    """
    if problem.status in _AWAY:
        return Unavailable(f"Temporal at {server.address} can't serve: {problem.status.name}.")
    if problem.status is RPCStatusCode.NOT_FOUND and "namespace" in problem.message.lower():
        return Unavailable(f"Temporal at {server.address} has no namespace {server.namespace}.")
    return None


def _tls(settings: Settings) -> bool | TLSConfig:
    certificate, key, authority = (
        _content(name, path)
        for name, path in (
            ("TEMPORAL_TLS_CERT", settings.temporal_tls_cert),
            ("TEMPORAL_TLS_KEY", settings.temporal_tls_key),
            ("TEMPORAL_TLS_CA", settings.temporal_tls_ca),
        )
    )
    if certificate is None and authority is None:
        # An API key goes over TLS only.
        return settings.temporal_tls or bool(settings.temporal_api_key)
    return TLSConfig(server_root_ca_cert=authority, client_cert=certificate, client_private_key=key)


def _content(name: str, path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"{name} can't be read: {problem.strerror} ({path})", param=name) from None


_shared_runtime: Runtime | None = None


def _runtime() -> Runtime:
    """The SDK's own threads, one set a process; what they log goes the way of our logs."""
    global _shared_runtime  # noqa: PLW0603 - threads are a process's own
    if _shared_runtime is None:
        forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
        filtering = TelemetryFilter(core_level="WARN", other_level="ERROR")
        telemetry = TelemetryConfig(logging=LoggingConfig(filter=filtering, forwarding=forwarding))
        _shared_runtime = Runtime(telemetry=telemetry)
    return _shared_runtime
