"""Parts that a test needs from outside (a server, a browser): found, or its absence is said aloud."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

PREFIX = "missing part: "


def missing_part(part: str, why: str) -> NoReturn:
    """Skip the test with a line that is counted at the end; with CI=true fail it instead."""
    message = f"{PREFIX}{part} ({why})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
