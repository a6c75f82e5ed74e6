"""``payloops demo``: start everything, take real payments over HTTP, show what happened, stop.

It knows only what a merchant knows: ``payloops.client``, webhooks, and the pages that customers see. What it tells is
in ``demo_chapters`` and ``demo_checkout``, who tells it in ``demo_shop``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from payloops.cli.demo_chapters import CHAPTERS
from payloops.cli.demo_checkout import hosted_checkout
from payloops.cli.demo_ledger import compare_ledgers, told
from payloops.cli.demo_receiver import receiving
from payloops.cli.demo_shop import DemoFailed, Shop
from payloops.cli.demo_story import Story
from payloops.client import PayLoopsError
from payloops.config import Settings

START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 15


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments: none."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Run the demo. Returns the exit status: 0 when every step went as told."""
    try:
        return asyncio.run(_demo(settings))
    except (DemoFailed, PayLoopsError) as problem:
        print(f"demo failed: {problem}", file=sys.stderr)
        return 1


async def _demo(settings: Settings) -> int:
    began = time.monotonic()
    async with _everything_up() as base_url:
        story = Story()
        story.say(
            f"Everything is up at {base_url} after {time.monotonic() - began:.1f} s;"
            f" workflows run on the {settings.workflow_engine} engine."
        )
        sandbox_url = f"http://{settings.host}:{settings.sandbox_port}"
        async with receiving() as receiver, Shop(base_url, sandbox_url, story, receiver) as shop:
            await shop.open()
            for chapter in (*CHAPTERS, hosted_checkout):
                await chapter(shop)
            await compare_ledgers(shop)
            told(shop)
        story.say("")
        story.good(f"done in {time.monotonic() - began:.1f} s; now stopping everything")
    return 0


@asynccontextmanager
async def _everything_up() -> AsyncIterator[str]:
    """``payloops up`` as a child for the length of the block; gives its base URL."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "payloops",
        "up",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "LOG_LEVEL": "warning"},
    )
    try:
        yield await asyncio.wait_for(_ready_url(child), START_TIMEOUT_S)
    except TimeoutError:
        raise DemoFailed(f"the service was not ready after {START_TIMEOUT_S} s") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _ready_url(child: asyncio.subprocess.Process) -> str:
    if child.stdout is None:
        raise DemoFailed("the service's output is not readable")
    while line := (await child.stdout.readline()).decode().strip():
        if line.startswith("ready "):
            # What it prints from now on must not fill the pipe.
            child_output = asyncio.create_task(child.stdout.read())
            child_output.add_done_callback(lambda task: task.cancelled() or task.exception())
            return line.removeprefix("ready ")
    raise DemoFailed(f"the service stopped before it was ready (exit status {await child.wait()})")
