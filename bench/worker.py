"""Processes that measure, each in an interpreter of its own: what measures takes no turn from what is measured.

They are programs of one shape: the first line on standard input is their configuration as JSON; they answer a line
when ready; then each line is a Window, answered by what was measured in it. They end with their standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final, Self

import uvloop

from bench.samples import Sample, Window

ROOT: Final = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S: Final = 60.0
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
_GRACE_S: Final = 60.0
_STOP_S: Final = 10.0

Measure = Callable[[Window], Awaitable[Mapping[str, Any]]]
Open = Callable[[dict[str, Any]], AbstractAsyncContextManager[Measure]]


class MeasurementError(RuntimeError):
    """A measurement failed; the message says why, in one line."""


def serve(open_measure: Open) -> None:
    """Be a worker: configure, say so, measure on demand, end with standard input."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(open_measure))


async def _serve(open_measure: Open) -> None:
    # The loop runs between measurements too, so that what was opened keeps its connections and timers alive.
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    config = json.loads(await reader.readline())
    async with open_measure(config) as measure:
        _say({"ready": True})
        while line := await reader.readline():
            try:
                _say(await measure(Window(**json.loads(line))))
            except Exception as problem:  # noqa: BLE001 - whatever it is, the harness must hear of it
                _say({"error": f"{type(problem).__name__}: {problem}"})


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Worker:
    """The harness's end of a worker; a context manager that starts and ends it."""

    def __init__(self, module: str, config: Mapping[str, Any], *, log: Path) -> None:
        self.module = module
        self._config = config
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            self._write(self._config)
            self._read(READY_TIMEOUT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, window: Window) -> None:
        """Start a measurement."""
        self._write(asdict(window))

    def answer(self, window: Window) -> dict[str, Any]:
        """What the measurement gave that was asked for. Raises MeasurementError."""
        return self._read(window.warmup_s + window.seconds + _GRACE_S)

    def measure(self, window: Window) -> Sample:
        """A measurement from beginning to end. Raises MeasurementError."""
        self.ask(window)
        return Sample(**self.answer(window))

    def _write(self, message: Mapping[str, Any]) -> None:
        pipe = self._pipe("stdin")
        try:
            pipe.write(json.dumps(message).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise MeasurementError(f"{self.module} ended; see {self._log}") from None

    def _read(self, timeout_s: float) -> dict[str, Any]:
        pipe = self._pipe("stdout")
        deadline_s = time.monotonic() + timeout_s
        ready, _, _ = select.select([pipe], [], [], timeout_s)
        line = pipe.readline() if ready else b""
        if not line:
            why = "ended" if time.monotonic() < deadline_s else f"said nothing for {timeout_s:.0f} s"
            raise MeasurementError(f"{self.module} {why}; see {self._log}")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise MeasurementError(f"{self.module}: {message['error']}")
        return message

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._process, name, None)
        if pipe is None:
            raise MeasurementError(f"{self.module} was not started")
        return pipe
