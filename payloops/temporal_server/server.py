"""A running Temporal dev server: started, found, and stopped; its workflows survive a restart.

It listens on loopback only and ends with the process that started it, however that ends.

Layout under the data directory: ``temporal/temporal.sqlite3``, ``temporal/server.log``, ``temporal/server.json`` (who
runs, and where it listens), ``temporal/owner.lock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import psutil

from payloops.temporal_server.program import TemporalServerError, find_program

HOST: Final = "127.0.0.1"
SEARCH_ATTRIBUTES: Final = ("CorrelationId", "MerchantId", "OrderId")
"""Keywords that the wire contract wants on every workflow."""
STOP_WITHIN_S: Final = 5.0

_STARTS_MAX: Final = 3
QUEUE_READS_PER_S: Final = 1000
"""How often the server may look for tasks to hand out. By default 20 times: five looks a workflow make 250 ms of each,
when one comes right after another."""
_POLL_S: Final = 0.05
_ASK_WITHIN_S: Final = 2.0
_LOG_BYTES_MAX: Final = 10 * 1024 * 1024
_TERM_SHARE: Final = 0.8
_KILL_WAIT_S: Final = 1.0

# The guard waits for the end of its standard input, which comes when the process that holds the other end is gone
# (however it went), and then asks the server to end, if it is still the one that was started.
_GUARD: Final = 'read -r line; [ "$(cat "$2" 2>/dev/null)" = "$1" ] && kill -TERM "$1"'


@dataclass(frozen=True)
class Ports:
    """Where a server listens: gRPC for clients, its web page, its HTTP API."""

    grpc: int
    page: int
    http: int

    @classmethod
    def preferred(cls) -> Ports:
        """The usual ones, so that ``temporal`` on a command line finds it without being told, if they are free."""
        usual = cls(7233, 8233, 7243)
        return cls.any() if usual.busy() else usual

    @classmethod
    def any(cls) -> Ports:
        """Three that nobody has."""
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.socket()) for _ in range(3)]
            for probe in probes:
                probe.bind((HOST, 0))
            grpc, page, http = (probe.getsockname()[1] for probe in probes)
        return cls(grpc, page, http)

    def busy(self) -> tuple[int, ...]:
        """Those that somebody has."""
        return tuple(port for port in (self.grpc, self.page, self.http) if not _is_free(port))


@dataclass(frozen=True)
class ServerAddress:
    """How a running dev server is reached: ``address`` (host:port, gRPC) and ``page_url`` for a browser."""

    address: str
    page_url: str


@dataclass(frozen=True)
class TemporalServer(ServerAddress):
    """A running server that this process owns; :meth:`stop` it in the end."""

    program: Path
    ports: Ports
    directory: Path
    pid: int
    server: subprocess.Popen[bytes] = field(repr=False)
    _guard: subprocess.Popen[bytes] = field(repr=False)
    _lock: IO[bytes] = field(repr=False)

    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self.server.poll() is None

    def stop(self, *, within_s: float = STOP_WITHIN_S) -> None:
        """Stop it, by force when it takes longer than ``within_s``. Safe to call twice."""
        try:
            _end(self.server, within_s)
        finally:
            (self.directory / "server.pid").unlink(missing_ok=True)
            (self.directory / "server.json").unlink(missing_ok=True)
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(_KILL_WAIT_S)
            self._lock.close()


def start(
    data_dir: Path,
    *,
    namespace: str,
    program: Path | None = None,
    ports: Ports | None = None,
    timeout_s: float = 30.0,
) -> TemporalServer:
    """A server that answers, with the namespace and the search attributes, owned by this process.

    ``program`` as from :func:`find_program`, which is asked when none is given. ``ports`` are those of a server that
    is started again; without them free ones are taken. A server that a killed owner left behind is stopped first.

    :raises TemporalServerError: there is no program, another process owns ``data_dir``, or it does not answer in time.
    """
    executable = program or find_program()
    deadline_s = time.monotonic() + timeout_s
    home = data_dir.absolute() / "temporal"
    with contextlib.ExitStack() as undo:
        lock = undo.enter_context(_take_ownership(home))
        _stop_leftover(home)
        process, taken = _launch(executable, home, namespace, ports, deadline_s)
        undo.callback(_end, process)
        # Written before the guard that reads it.
        (home / "server.pid").write_text(f"{process.pid}\n", encoding="ascii")
        guard = _launch_guard(process.pid, home)
        server = TemporalServer(
            address=f"{HOST}:{taken.grpc}",
            page_url=f"http://{HOST}:{taken.page}",
            program=executable,
            ports=taken,
            directory=home,
            pid=process.pid,
            server=process,
            _guard=guard,
            _lock=lock,
        )
        undo.callback(server.stop)
        _write_state(home, server)
        undo.pop_all()
    return server


def find_running(data_dir: Path) -> ServerAddress | None:
    """The server that another process runs on ``data_dir``, if there is one."""
    state = _read_state(data_dir.absolute() / "temporal")
    if state is None or not _is_server(state["pid"], data_dir.absolute() / "temporal"):
        return None
    return ServerAddress(state["address"], state["page"])


def _take_ownership(home: Path) -> IO[bytes]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "owner.lock").open("ab")
    except OSError as problem:
        raise TemporalServerError(f"PAYLOOPS_DATA can't hold Temporal's data: {problem.strerror} ({home})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise TemporalServerError(f"another process already runs the Temporal server in {home}") from None
    return lock


def _launch(
    program: Path, home: Path, namespace: str, ports: Ports | None, deadline_s: float
) -> tuple[subprocess.Popen[bytes], Ports]:
    """The server, answering. Without given ports, one that loses a port to somebody else is started on others."""
    log, said = home / "server.log", ""
    for _ in range(_STARTS_MAX):
        taken = ports or Ports.any()
        # Or else who has the port would answer for the server that could not have it.
        if busy := taken.busy():
            said = f"address already in use: port {busy[0]}"
            continue
        with _open_log(log) as output:
            began = output.tell()
            process = subprocess.Popen(
                _command(program, home, namespace, taken),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=_environment(home),
                start_new_session=True,
            )
        try:
            if _wait_until_it_answers(process, taken, namespace, deadline_s):
                return process, taken
        except BaseException:
            _end(process)
            raise
        _end(process)
        said = _text_from(log, began)
        if time.monotonic() > deadline_s or "address already in use" not in said:
            break
    raise TemporalServerError(f"the Temporal dev server did not start: {_last_line(said)} (see {log})")


def _command(program: Path, home: Path, namespace: str, ports: Ports) -> Sequence[str]:
    return (
        *(str(program), "server", "start-dev", "--ip", HOST, "--namespace", namespace),
        *("--port", str(ports.grpc), "--ui-port", str(ports.page), "--http-port", str(ports.http)),
        *("--db-filename", str(home / "temporal.sqlite3"), "--log-level", "warn"),
        *(argument for name in SEARCH_ATTRIBUTES for argument in ("--search-attribute", f"{name}=Keyword")),
        *("--dynamic-config-value", f"history.transferProcessorMaxPollRPS={QUEUE_READS_PER_S}"),
    )


def _environment(home: Path) -> dict[str, str]:
    """No TEMPORAL_* variable and no configuration file of the caller may steer the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TZ": "UTC", "LC_ALL": "C"}


def _wait_until_it_answers(process: subprocess.Popen[bytes], ports: Ports, namespace: str, deadline_s: float) -> bool:
    while process.poll() is None and time.monotonic() < deadline_s:
        asked = _ask(f"http://{HOST}:{ports.http}/api/v1/namespaces/{namespace}/search-attributes")
        if asked is not None and all(name in asked.get("customAttributes", {}) for name in SEARCH_ATTRIBUTES):
            return True
        time.sleep(_POLL_S)
    return False


def _ask(url: str) -> dict[str, Any] | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        contextlib.suppress(OSError, urllib.error.URLError, ValueError),
        opener.open(url, timeout=_ASK_WITHIN_S) as answer,
    ):
        body = json.load(answer)
        return body if isinstance(body, dict) else None
    return None


def _launch_guard(pid: int, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(pid), str(home / "server.pid")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes], within_s: float = STOP_WITHIN_S) -> None:
    for number, wait_s in ((signal.SIGTERM, within_s * _TERM_SHARE), (signal.SIGKILL, within_s)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)


def _stop_leftover(home: Path) -> None:
    """End a server whose owner and guard were killed."""
    state = _read_state(home)
    if state is None or not _is_server(state["pid"], home):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        leftover = psutil.Process(state["pid"])
        for number in (signal.SIGTERM, signal.SIGKILL):
            leftover.send_signal(number)
            with contextlib.suppress(psutil.TimeoutExpired):
                leftover.wait(STOP_WITHIN_S)
                return


def _write_state(home: Path, server: TemporalServer) -> None:
    draft = home / ".server.json"
    draft.write_text(
        json.dumps({"pid": server.pid, "address": server.address, "page": server.page_url}), encoding="utf-8"
    )
    draft.replace(home / "server.json")


def _read_state(home: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((home / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kinds = {"pid": int, "address": str, "page": str}
    if isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in kinds.items()):
        return state
    return None


def _is_server(pid: int, home: Path) -> bool:
    try:
        return str(home / "temporal.sqlite3") in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _text_from(path: Path, begin: int) -> str:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(64 * 1024).decode("utf-8", "replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
