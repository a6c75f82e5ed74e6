"""Parts that a test needs from outside (a server, a browser, a place): found, or their absence is said aloud."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 * 1024**3

PREFIX = "missing part: "


def missing_part(part: str, why: str) -> NoReturn:
    """Skip the test with a line that is counted at the end; with CI=true fail it instead."""
    message = f"{PREFIX}{part} ({why})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def fast_place() -> Path:
    """Memory where there is plenty, for making hundreds of files per test is what a disk is slowest at."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        return MEMORY
    return Path(tempfile.gettempdir())


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that any account can reach (a database server may run as another one); pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="payloops-test-", dir=fast_place(), ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)
