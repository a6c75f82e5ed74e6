"""The HTTP load generator, a worker: keep-alive connections, each sending its next request when the last was answered.

It shares the machine with what it loads, so it is built to cost little: requests are rendered beforehand, and of an
answer it reads the status, the length and, where asked, one id. The same generator loads both sides of a comparison.

A flow is one or more steps on one connection. What is timed runs from sending step ``timed_from`` to the last answer.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count, cycle
from typing import Any, Final

from bench import closed_loop, worker
from bench.samples import Count, Window

ID: Final = "{id}"
"""In a request: the id that the step before it was answered with."""
NUMBER: Final = "{number}"
"""In a request: NUMBER_DIGITS digits that never come again."""
NUMBER_DIGITS: Final = 16
SIGNATURE: Final = "{signature}"
"""In a request's head, where the step has a ``stripe_secret``: Stripe's signature of the body as it is sent."""
CONNECTIONS_MAX: Final = 1024
ANSWER_BYTES_MAX: Final = 1024 * 1024
_DRAIN_S: Final = 30.0
_CONNECT_S: Final = 10.0
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_ID_FIELD: Final = b'"id":'


@dataclass(frozen=True, slots=True)
class Step:
    """``requests`` are sent in turn. Another status, or a body without ``contains``, fails the measurement."""

    requests: Sequence[str]
    status: int
    contains: str = ""
    stripe_secret: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send where. ``host`` is an address on loopback."""

    port: int
    connections: int
    steps: Sequence[Step]
    timed_from: int = 0
    host: str = "127.0.0.1"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(message: Mapping[str, Any]) -> Load:
        steps = [Step(**step) for step in message["steps"]]
        return Load(**{**message, "steps": steps})


class _Program:
    """The steps, ready to send; shared by all connections."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._numbers = count(time.time_ns() // 1_000_000 * 1_000)
        self._rotations = [cycle([request.encode() for request in step.requests]) for step in load.steps]
        self._plain = [not any(mark in r for mark in (ID, NUMBER) for r in step.requests) for step in load.steps]
        self.statuses = [str(step.status).encode() for step in load.steps]
        self.contains = [step.contains.encode() for step in load.steps]
        self._secrets = [step.stripe_secret.encode() for step in load.steps]
        self.takes_id = [any(ID in r for r in step.requests) for step in load.steps[1:]] + [False]

    def request(self, step: int, taken_id: bytes) -> bytes:
        template = next(self._rotations[step])
        if self._plain[step]:
            return template
        numbered = template.replace(NUMBER.encode(), b"%016d" % next(self._numbers))
        whole = numbered.replace(ID.encode(), taken_id)
        return _signed(whole, self._secrets[step]) if self._secrets[step] else whole


def _signed(request: bytes, secret: bytes) -> bytes:
    """https://docs.stripe.com/webhooks/signature"""
    seconds = b"%d" % time.time()
    body = request[request.index(_HEAD_END) + len(_HEAD_END) :]
    digest = hmac.digest(secret, seconds + b"." + body, "sha256").hex().encode()
    return request.replace(SIGNATURE.encode(), b"t=%b,v1=%b" % (seconds, digest), 1)


class _Run:
    """One measurement: what it counted, and when all connections are done."""

    def __init__(self, window: Window, connections: int) -> None:
        self.count = Count(window)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = connections

    def connection_done(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.over.done():
            self.over.set_result(None)

    def fail(self, why: str) -> None:
        if not self.over.done():
            self.over.set_exception(worker.MeasurementError(why))


class _Client(asyncio.Protocol):
    """One connection, running the flow again and again until the measurement is over."""

    __slots__ = ("_buffer", "_done", "_id", "_program", "_run", "_sent_s", "_step", "_transport")

    def __init__(self, program: _Program, run: _Run) -> None:
        self._program = program
        self._run = run
        self._buffer = b""
        self._step = 0
        self._id = b""
        self._sent_s = 0.0
        self._done = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def start(self) -> None:
        self._send(0)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head_end = data.find(_HEAD_END)
        if head_end < 0:
            self._keep(data)
            return
        length = _body_length(data, head_end)
        if length < 0:
            self._fail("an answer without Content-Length")
            return
        body_begin = head_end + len(_HEAD_END)
        if len(data) < body_begin + length:
            self._keep(data)
            return
        self._buffer = b""
        self._answered(data, body_begin)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done:
            self._fail(f"the server closed a connection: {exc or 'without an error'}")

    def close(self) -> None:
        self._done = True
        self._transport.close()

    def _answered(self, data: bytes, body_begin: int) -> None:
        program, step = self._program, self._step
        if data[9:12] != program.statuses[step] or data.find(program.contains[step], body_begin) < 0:
            body = data[body_begin : body_begin + 300].decode(errors="replace")
            self._fail(f"step {step} was answered {data[9:12].decode()}: {body}")
            return
        if program.takes_id[step]:
            self._id = _id_of(data, body_begin)
        if step + 1 < len(program.statuses):
            self._send(step + 1)
            return
        if self._run.count.ended(self._sent_s):
            self._done = True
            self._run.connection_done()
            return
        self._send(0)

    def _send(self, step: int) -> None:
        self._step = step
        request = self._program.request(step, self._id)
        if step == self._program.load.timed_from:
            self._sent_s = time.perf_counter()
        self._transport.write(request)

    def _keep(self, data: bytes) -> None:
        if len(data) > ANSWER_BYTES_MAX:
            self._fail("an answer that does not end")
        self._buffer = data

    def _fail(self, why: str) -> None:
        self._done = True
        self._run.fail(why)


def _body_length(data: bytes, head_end: int) -> int:
    """Content-Length of an answer's head, -1 when it names none."""
    head = data[:head_end].lower()
    begin = head.find(_LENGTH)
    if begin < 0:
        return -1
    begin += len(_LENGTH)
    end = head.find(b"\r", begin)
    return int(head[begin:] if end < 0 else head[begin:end])


def _id_of(data: bytes, body_begin: int) -> bytes:
    """The first ``id`` of a JSON body, with or without a blank after the colon; empty when there is none."""
    begin = data.find(b'"', data.find(_ID_FIELD, body_begin) + len(_ID_FIELD)) + 1
    return data[begin : data.find(b'"', begin)]


async def measure_load(program: _Program, window: Window) -> Mapping[str, Any]:
    """Connect, run the flows for the window, close. Raises MeasurementError."""
    load = program.load
    run = _Run(window, load.connections)
    clients: list[_Client] = []
    loop = asyncio.get_running_loop()
    try:
        for _ in range(load.connections):
            async with asyncio.timeout(_CONNECT_S):
                _, client = await loop.create_connection(lambda: _Client(program, run), load.host, load.port)
            clients.append(client)
        with closed_loop.no_collection():
            for client in clients:
                client.start()
            async with asyncio.timeout(window.warmup_s + window.seconds + _DRAIN_S):
                await run.over
    except OSError as problem:
        raise worker.MeasurementError(f"no connection to {load.host}:{load.port}: {problem}") from problem
    finally:
        for client in clients:
            client.close()
    return run.count.sample().to_json()


@asynccontextmanager
async def open_load(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    load = Load.from_json(config)
    if not 1 <= load.connections <= CONNECTIONS_MAX:
        raise ValueError(f"connections must be from 1 to {CONNECTIONS_MAX}")
    program = _Program(load)

    async def measure(window: Window) -> Mapping[str, Any]:
        return await measure_load(program, window)

    yield measure


if __name__ == "__main__":
    worker.serve(open_load)
