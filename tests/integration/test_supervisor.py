"""The supervisor with real child processes: small programs that do what the parts do, or do it badly."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from payloops.cli.supervisor import DEATHS_MAX, Child, PartFailed, RestartPolicy, Stage, supervise

PATIENCE_S = 60

# Writes "name pid" when it runs, and its name again when it is asked to stop.
GOOD = """
    import os, signal, sys
    log, name = sys.argv[1:3]
    def say(*words):
        with open(log, "a") as file:
            print(*words, file=file)
    def stop(*_):
        say("stopped", name)
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    say("running", name, os.getpid())
    while True:
        signal.pause()
"""
STUBBORN = GOOD.replace("sys.exit(0)", "pass")


def child(program: str, log: Path, name: str) -> Child:
    return Child(name, (sys.executable, "-c", textwrap.dedent(program), str(log), name), dict(os.environ))


def words(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


class World:
    """A supervision under way, and what its children wrote."""

    def __init__(self, log: Path, *stages: Stage) -> None:
        self.log = log
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.task = asyncio.create_task(supervise(stages, self.stop, self.hurry))

    async def until_running(self, name: str, *, times: int = 1) -> int:
        """The process id of the ``times``-th run of a child."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                runs = [
                    int(pid)
                    for what, who, *rest in words(self.log)
                    if what == "running" and who == name
                    for pid in rest
                ]
                if len(runs) >= times:
                    return runs[times - 1]
                await asyncio.wait({self.task}, timeout=0.02)
                assert not self.task.done()

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, PATIENCE_S)


def stopped(log: Path) -> list[str]:
    return [line[1] for line in words(log) if line[0] == "stopped"]


async def test_parts_stop_in_order_and_leave_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parts = [child(GOOD, log, name) for name in ("api-1", "api-2", "relay", "sandbox")]
    world = World(log, Stage(parts[:2], 10), Stage(parts[2:3], 10), Stage(parts[3:], 10))
    pids = [await world.until_running(part.name) for part in parts]
    await world.end()
    assert set(stopped(log)[:2]) == {"api-1", "api-2"}
    assert stopped(log)[2:] == ["relay", "sandbox"]
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_killed_part_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log"
    part = child(GOOD, log, "api")
    world = World(log, Stage([part], 10))
    first = await world.until_running("api")
    os.kill(first, signal.SIGKILL)
    second = await world.until_running("api", times=2)
    assert second != first
    seen = [part.pid]
    await world.end()
    seen.append(part.pid)
    assert seen == [second, None]
    assert "api ended (SIGKILL); starting it again" in caplog.text


async def test_a_part_that_does_not_listen_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log"
    world = World(log, Stage([child(STUBBORN, log, "relay")], 0.2), Stage([child(GOOD, log, "sandbox")], 10))
    pid = await world.until_running("relay")
    await world.until_running("sandbox")
    await world.end()
    assert not psutil.pid_exists(pid)
    assert stopped(log)[-1] == "sandbox"
    assert "relay did not stop in time and is killed" in caplog.text


async def test_a_second_signal_makes_it_hurry(tmp_path: Path) -> None:
    log = tmp_path / "log"
    world = World(log, Stage([child(STUBBORN, log, "relay")], 600))
    pid = await world.until_running("relay")
    world.stop.set()
    world.hurry.set()
    await asyncio.wait_for(world.task, PATIENCE_S)
    assert not psutil.pid_exists(pid)


async def test_a_part_takes_its_own_children_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = """
        import subprocess, sys, time
        log, name = sys.argv[1:3]
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(log, "a") as file:
            print("running", name, grandchild.pid, file=file)
        time.sleep(600)
    """
    world = World(log, Stage([child(program, log, "api")], 0.1))
    grandchild = psutil.Process(await world.until_running("api"))
    await world.end()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [grandchild], PATIENCE_S)
    assert gone == [grandchild]


async def test_a_part_that_refuses_its_settings_ends_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    picky = child("raise SystemExit(2)", log, "api")
    good = child(GOOD, log, "relay")
    world = World(log, Stage([picky], 10), Stage([good], 10))
    with pytest.raises(PartFailed, match="api can't start with these settings"):
        await asyncio.wait_for(world.task, PATIENCE_S)
    assert good.pid is None


async def test_once_proven_a_refusal_is_a_death_like_any_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = """
        import os, signal, sys
        log, name = sys.argv[1:3]
        with open(log, "a") as file:
            print("running", name, os.getpid(), file=file)
        if len(open(log).readlines()) == 1:
            sys.exit(2)
        signal.pause()
    """
    part = child(program, log, "api")
    part.proven = True
    world = World(log, Stage([part], 10))
    await world.until_running("api", times=2)
    await world.end()


async def test_a_failing_announcement_ends_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    part = child(GOOD, log, "api")

    async def never_ready() -> None:
        raise PartFailed("not ready")

    with pytest.raises(PartFailed, match="not ready"):
        await supervise([Stage([part], 10)], asyncio.Event(), asyncio.Event(), once_running=never_ready)
    assert part.pid is None


def test_restarts_back_off_and_a_long_life_resets_that() -> None:
    policy = RestartPolicy("api")
    delays = [policy.next_delay_s(lived_s=0, now_s=100.0 * n) for n in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert policy.next_delay_s(lived_s=31, now_s=1000) == 0.2


def test_ten_deaths_within_a_minute_are_enough() -> None:
    policy = RestartPolicy("api")
    for n in range(DEATHS_MAX - 1):
        policy.next_delay_s(lived_s=0, now_s=float(n))
    with pytest.raises(PartFailed, match="api ended 10 times within a minute"):
        policy.next_delay_s(lived_s=0, now_s=10.0)
    slow = RestartPolicy("api")
    for n in range(3 * DEATHS_MAX):
        slow.next_delay_s(lived_s=7, now_s=7.0 * n)


@pytest.mark.parametrize("prompt", [True, False], ids=["told by the kernel", "found by looking"])
def test_parts_do_not_outlive_a_killed_supervisor(tmp_path: Path, prompt: bool) -> None:
    part = f"""
        import os, signal, sys
        import payloops.cli.surroundings as s
        {"" if prompt else "sys.platform = 'elsewhere'"}
        s.live_no_longer_than(int(sys.argv[1]))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
    """
    supervisor = f"""
        import os, subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", {textwrap.dedent(part)!r}, str(os.getpid())])
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(supervisor)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        assert running.stdout is not None
        orphan = psutil.Process(int(running.stdout.readline()))
        running.kill()
        gone, _ = psutil.wait_procs([orphan], timeout=PATIENCE_S)
    assert gone == [orphan]
