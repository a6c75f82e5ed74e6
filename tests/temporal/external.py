"""Workers of others, as processes: the TypeScript one is built once per state of its files, in the machine's cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from payloops.temporal_server import cache_dir
from tests.temporal.servers import NotToBeHad, once_a_run

HERE: Final = Path(__file__).parent
TYPESCRIPT: Final = HERE / "external_ts"
PYTHON: Final = HERE / "external_python" / "worker.py"
NODE_MIN: Final = 20
INSTALL_WITHIN_S: Final = 300.0
BUILD_WITHIN_S: Final = 120.0
STOP_WITHIN_S: Final = 45.0
PACKAGE_FILES: Final = ("package.json", "package-lock.json", ".npmrc")


def command_of(language: str) -> Sequence[str]:
    """How the worker is started; skips the test when its language can't be had."""
    if language == "python":
        # Isolated, so that nothing of ours can be imported by mistake.
        return (sys.executable, "-I", str(PYTHON))
    return ("node", str(once_a_run("Node worker", _built)))


@contextlib.contextmanager
def running(language: str, log: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A worker that polls, with those variables and few others."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as errors:
        worker = subprocess.Popen(
            command_of(language),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**given, **environ},
            text=True,
        )
    try:
        if worker.stdout is None or worker.stdout.readline() != "ready\n":
            raise RuntimeError(f"the {language} worker did not start:\n{log.read_text()[-3000:]}")
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()


def _built() -> Path:
    """The compiled worker, beside the packages that its lock file names."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotToBeHad(f"{program} is not on PATH")
    version = re.match(r"v(\d+)", _run(["node", "--version"], HERE, 20.0))
    if version is None or int(version[1]) < NODE_MIN:
        raise NotToBeHad(f"Node {NODE_MIN} is needed")
    home = cache_dir() / f"external-ts-{_hash_of(*(TYPESCRIPT / name for name in PACKAGE_FILES))}"
    if not home.exists():
        _install(home)
    sources = sorted((TYPESCRIPT / "src").glob("*.ts"))
    built = home / f"build-{_hash_of(TYPESCRIPT / 'tsconfig.json', *sources)}"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=home, prefix="draft-") as draft:
            shutil.copy(TYPESCRIPT / "tsconfig.json", draft)
            shutil.copytree(TYPESCRIPT / "src", Path(draft) / "src")
            _run([str(home / "node_modules" / ".bin" / "tsc")], Path(draft), BUILD_WITHIN_S)
            shutil.copytree(draft, built)
    return built / "lib" / "worker.js"


def _install(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="external-ts-draft-") as draft:
        for name in PACKAGE_FILES:
            shutil.copy(TYPESCRIPT / name, draft)
        _run(["npm", "ci", "--ignore-scripts"], Path(draft), INSTALL_WITHIN_S)
        Path(draft).rename(home)
        Path(draft).mkdir()  # what the context is about to remove


def _run(command: Sequence[str], directory: Path, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NotToBeHad(f"{command[0]}: {type(problem).__name__}") from None
    if done.returncode != 0:
        if Path(command[0]).name == "tsc":
            raise RuntimeError(f"the TypeScript worker does not compile:\n{done.stdout}")
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NotToBeHad(f"{command[0]}: {said[0][:200] if said else done.returncode}")
    return done.stdout


def _hash_of(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
