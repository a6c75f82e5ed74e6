"""A browser for tests: Chromium from PATH, else Playwright's own, else the distribution's package.

``python -m tests.browser`` makes sure that there is one, says which, and fails with one line when there is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOAD_S = 240.0
INSTALL_S = 300.0

_LOCK = Path(tempfile.gettempdir()) / f"payloops-test-browser-{os.getuid()}.lock"


class NoBrowser(Exception):
    """There is none, and none can be had; says what was tried."""


def find_browser() -> Path | None:
    """The browser that is here already."""
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    return _playwrights_own()


def ensure_browser() -> Path:
    """The browser, fetched if need be: only once, however many processes ask. Raises NoBrowser."""
    with _only_one():
        found = find_browser()
        if found is not None:
            return found
        tried = []
        for name, fetch in (("Playwright's download", _download), ("Debian's package", _install)):
            problem = fetch()
            found = find_browser()
            if found is not None:
                return found
            tried.append(f"{name}: {problem}")
        raise NoBrowser(f"no chromium on PATH; {'; '.join(tried)}")


def _playwrights_own() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def _download() -> str:
    return _run([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_S)


def _install() -> str:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "needs apt-get and root"
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    problem = _run(command, INSTALL_S)
    if problem != "done":
        # The lists of a fresh image are empty.
        _run(["apt-get", "update", "--quiet"], INSTALL_S)
        problem = _run(command, INSTALL_S)
    return problem


def _run(command: list[str], timeout_s: float) -> str:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, env=environ, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return type(problem).__name__
    if done.returncode == 0:
        return "done"
    words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return words[0] if words else f"exit status {done.returncode}"


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """See the module."""
    try:
        print(f"browser for tests: {ensure_browser()}")
    except NoBrowser as problem:
        print(f"browser for tests: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
