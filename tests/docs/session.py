"""One shell in which a reader types one step of a guide after the other."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.docs.markdown import Step
from tests.docs.shown import differences, parsed_http, same_text, value_of

STEP_S: Final = 120
"""A step may take this long, and what it shows may be this long in coming."""
_AGAIN_AFTER_S: Final = 0.2
_INTERNAL_ERROR: Final = 500
_BEGIN: Final = """
set -u
curl() {
  command curl --max-time 90 -D headers -w '%{stderr}status %{http_code}\\n' "$@"
}
"""
_STATUS: Final = re.compile(r"^status ([0-9]{3})$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a step printed, its exit status, and what its calls were answered."""

    exit_status: int
    stdout: str
    stderr: str
    statuses: tuple[int, ...]
    headers: Mapping[str, str]


class Session:
    """A bash with ``set -u``; variables, functions and background jobs carry on from step to step."""

    def __init__(self, folder: Path, replacements: Mapping[str, str]) -> None:
        self._folder = folder
        self._replacements = replacements
        self._count = 0
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            start_new_session=True,
        )
        self._tell(_BEGIN)

    def close(self) -> None:
        """End the shell and every job that a step left behind."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()

    def run(self, step: Step) -> None:
        """Run the step and hold what comes of it against what is shown; what only reads is run until it agrees."""
        deadline_s = time.monotonic() + STEP_S
        while True:
            outcome = self._run(step.script)
            problems = list(problems_of(step, outcome))
            if not problems:
                return
            if not step.reads_only or _INTERNAL_ERROR in outcome.statuses or time.monotonic() > deadline_s:
                told = "\n  ".join(problems)
                raise AssertionError(
                    f"{step.name}:\n  {told}\n--- typed\n{step.script}--- stdout\n{outcome.stdout[-3000:]}\n"
                    f"--- stderr\n{outcome.stderr[-1500:]}"
                )
            time.sleep(_AGAIN_AFTER_S)

    def _run(self, script: str) -> Outcome:
        for written, real in self._replacements.items():
            script = script.replace(written, real)
        self._count += 1
        name = f"step-{self._count}"
        (self._folder / f"{name}.sh").write_text(script, "utf-8")
        (self._folder / "headers").unlink(missing_ok=True)
        self._tell(f". ./{name}.sh >{name}.out 2>{name}.err </dev/null; echo $?\n")
        exit_status = int(self._line())
        stderr = (self._folder / f"{name}.err").read_text("utf-8")
        return Outcome(
            exit_status,
            (self._folder / f"{name}.out").read_text("utf-8"),
            stderr,
            tuple(int(status) for status in _STATUS.findall(stderr)),
            _headers(self._folder / "headers"),
        )

    def _tell(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()

    def _line(self) -> str:
        assert self._shell.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            if not selector.select(STEP_S):
                raise AssertionError(f"step {self._count} did not end within {STEP_S} s")
        line = self._shell.stdout.readline().decode()
        assert line, f"the shell ended in step {self._count}: an unset variable?"
        return line


@contextmanager
def reading(folder: Path, replacements: Mapping[str, str]) -> Iterator[Session]:
    """A session for the length of the block."""
    session = Session(folder, replacements)
    try:
        yield session
    finally:
        session.close()


def problems_of(step: Step, outcome: Outcome) -> Iterator[str]:
    """What is not as the document says."""
    if outcome.exit_status != 0:
        yield f"ended with {outcome.exit_status}"
    if step.kind == "http":
        yield from _problems_of_reply(step.shown, outcome)
        return
    refused = [status for status in outcome.statuses if not 200 <= status < 400]
    if refused:
        yield f"was answered {refused}"
    if step.kind == "json":
        yield from differences(value_of(step.shown), value_of(outcome.stdout))
    elif step.kind == "text" and not same_text(step.shown.strip(), outcome.stdout.strip()):
        yield f"shown is\n{step.shown}"


def _problems_of_reply(shown: str, outcome: Outcome) -> Iterator[str]:
    status, headers, body = parsed_http(shown)
    if outcome.statuses[-1:] != (status,):
        yield f"was answered {outcome.statuses}, shown is {status}"
    for name, value in headers.items():
        found = outcome.headers.get(name.lower())
        if found is None or not same_text(value, found):
            yield f"the header {name} is {found!r}, shown is {value!r}"
    if body.strip() or outcome.stdout.strip():
        yield from differences(value_of(body), value_of(outcome.stdout))


def _headers(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    lines = path.read_text("latin-1").splitlines()
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if ": " in line)}
