"""What ``make up`` starts, for the documents to be read against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.test_up import Up
from tests.parts import open_directory


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """Everything on free ports with data of its own. A slow machine's processor may take longer than three seconds."""
    with open_directory() as directory:
        running = Up(directory / "data", PAY_WAIT_S="30")
        try:
            yield running
        finally:
            running.process.terminate()
            running.process.wait(30)
            running.close()
