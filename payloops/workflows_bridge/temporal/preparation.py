"""What the server must have before the first workflow: the namespace and the wire contract's search attributes."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from payloops.errors import Unavailable
from payloops.workflows_bridge.temporal.connection import RPC_TIMEOUT, Connection, ServerAddress, passing

ATTRIBUTES: Final = ("CorrelationId", "MerchantId", "OrderId")
"""All Keyword."""
RETENTION: Final = timedelta(days=30)
"""How long a namespace that we make keeps histories of finished workflows."""
SETTLES_S: Final = 15.0
"""How long a server may take until what was registered is known to all of it."""
LOOK_AGAIN_S: Final = 60.0
"""What the server lacks is looked for again at this pace: its operator may have added it."""

_FORBIDDEN: Final = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})
"""Somebody else makes it ready (Temporal Cloud), or a server for tests."""

_log = logging.getLogger(__name__)


class Preparation:
    """Makes the server ready once, and knows which search attributes it takes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: frozenset[str] = frozenset()
        self._looked_at_s: float | None = None
        self._registered_at_s: float | None = None
        self._preparing = asyncio.Lock()

    @property
    def server(self) -> ServerAddress:
        """Where the server is."""
        return self._connection.server

    async def passing(self, problem: RPCError) -> Unavailable | None:
        """See Connection."""
        return await self._connection.passing(problem)

    async def client(self) -> Client:
        """The client of a server that is ready, as far as it lets itself be made so. Raises Unavailable."""
        client = await self._connection.client()
        if self._is_due():
            async with self._preparing:
                if self._is_due():
                    await self._prepare(client, first=self._looked_at_s is None)
        return client

    def _is_due(self) -> bool:
        if self._looked_at_s is None:
            return True
        return len(self._known) < len(ATTRIBUTES) and time.monotonic() - self._looked_at_s >= LOOK_AGAIN_S

    def attributes(self, values: dict[str, str | None]) -> TypedSearchAttributes:
        """Those of ``values`` that the server takes and that there are."""
        return TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
                for name, value in values.items()
                if value is not None and name in self._known
            ]
        )

    def refused(self, problem: RPCError) -> bool:
        """Whether a start failed for its search attributes only: it can be made without them.

        Raises Unavailable while they are merely too new.
        """
        if problem.status is not RPCStatusCode.INVALID_ARGUMENT or "search attribute" not in problem.message.lower():
            return False
        now_s = time.monotonic()
        if self._registered_at_s is not None and now_s - self._registered_at_s < SETTLES_S:
            raise Unavailable("Temporal does not know its new search attributes yet.") from problem
        if not self._known:
            return False
        _log.warning("Temporal refuses our search attributes; workflows start without: %s", problem.message)
        self._known, self._looked_at_s = frozenset(), now_s
        return True

    async def _prepare(self, client: Client, *, first: bool) -> None:
        try:
            await self._require_namespace(client)
            self._known = await self._require_attributes(client, first=first)
        except RPCError as problem:
            trouble = passing(problem, self.server)
            raise trouble or Unavailable(f"Temporal can't be prepared: {problem.message}") from problem
        self._looked_at_s = time.monotonic()

    async def _require_namespace(self, client: Client) -> None:
        try:
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace), timeout=RPC_TIMEOUT
            )
        except RPCError as problem:
            if problem.status is RPCStatusCode.NOT_FOUND:
                await self._register_namespace(client)
            elif problem.status not in _FORBIDDEN:
                raise

    async def _register_namespace(self, client: Client) -> None:
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        request = RegisterNamespaceRequest(
            namespace=client.namespace, workflow_execution_retention_period=retention, description="PayLoops"
        )
        try:
            await client.workflow_service.register_namespace(request, timeout=RPC_TIMEOUT)
        except RPCError as problem:
            if problem.status is RPCStatusCode.ALREADY_EXISTS:
                return
            _log.error("Temporal has no namespace %s, and we may not make it: %s", client.namespace, problem.message)
            raise Unavailable(f"Temporal has no namespace {client.namespace}.") from problem
        self._registered_at_s = time.monotonic()
        _log.info("made the namespace %s", client.namespace)

    async def _require_attributes(self, client: Client, *, first: bool) -> frozenset[str]:
        """The attributes of ours that there are in the end, as far as that can be known."""
        known = await _known_attributes(client)
        missing = [name for name in ATTRIBUTES if known is None or name not in known]
        if not missing:
            return frozenset(ATTRIBUTES)
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        request = AddSearchAttributesRequest(
            namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
        )
        try:
            await client.operator_service.add_search_attributes(request, timeout=RPC_TIMEOUT)
        except RPCError as problem:
            if problem.status is RPCStatusCode.ALREADY_EXISTS:
                return frozenset(ATTRIBUTES)
            if problem.status not in _FORBIDDEN and passing(problem, self.server) is not None:
                raise
            if known is None:
                # Who may not look may use what the operator has made. A start that is refused for them tells.
                return frozenset(ATTRIBUTES) if first else frozenset()
            if first:
                _log.warning(
                    "Temporal lacks the search attributes %s, and we may not add them; workflows start without: %s",
                    ", ".join(missing),
                    problem.message,
                )
            return frozenset(ATTRIBUTES) - frozenset(missing)
        self._registered_at_s = time.monotonic()
        _log.info("registered the search attributes %s", ", ".join(missing))
        return frozenset(ATTRIBUTES)


async def _known_attributes(client: Client) -> frozenset[str] | None:
    """Names of Keyword attributes of the namespace; None where we may not look."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        answer = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    except RPCError as problem:
        if problem.status in _FORBIDDEN:
            return None
        raise
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return frozenset(name for name, kind in answer.custom_attributes.items() if kind == keyword)
