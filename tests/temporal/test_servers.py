"""The servers themselves: found, started, crashed, left behind; and the one that skips time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from payloops import temporal_server
from payloops.temporal_server import TemporalServer, TemporalServerError, program
from tests.parts import open_directory
from tests.temporal import servers

pytestmark = pytest.mark.temporal

CORRELATION = SearchAttributeKey.for_keyword("CorrelationId")


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as made:
        yield made


async def begin(server: TemporalServer, workflow_id: str) -> None:
    client = await Client.connect(server.address, namespace=servers.NAMESPACE)
    attributes = TypedSearchAttributes([SearchAttributePair(CORRELATION, "c-1")])
    await client.start_workflow("Nobodys", id=workflow_id, task_queue="nobody", search_attributes=attributes)


async def status(server: TemporalServer, workflow_id: str) -> WorkflowExecutionStatus | None:
    client = await Client.connect(server.address, namespace=servers.NAMESPACE)
    return (await client.get_workflow_handle(workflow_id).describe()).status


async def test_workflows_survive_a_stop_and_a_kill_and_can_be_found_by_correlation(directory: Path) -> None:
    workflow_id = f"w-{uuid4()}"
    with servers.dev_server(directory) as server:
        found = temporal_server.find_running(directory)
        assert found is not None
        assert found.address == server.address
        await begin(server, workflow_id)
        with pytest.raises(TemporalServerError, match="another process already runs"):
            temporal_server.start(directory, namespace=servers.NAMESPACE, program=server.program)
    assert temporal_server.find_running(directory) is None
    with servers.dev_server(directory) as server:
        assert await status(server, workflow_id) is WorkflowExecutionStatus.RUNNING
        client = await Client.connect(server.address, namespace=servers.NAMESPACE)
        assert [each.id for each in await servers.listed(client, "CorrelationId = 'c-1'")] == [workflow_id]
        server.server.kill()
        server.server.wait(10)
        assert not server.is_running()
        server.stop()
        again = temporal_server.start(
            directory, namespace=servers.NAMESPACE, program=server.program, ports=server.ports
        )
        try:
            assert again.address == server.address
            assert await status(again, workflow_id) is WorkflowExecutionStatus.RUNNING
        finally:
            again.stop()


def test_it_ends_with_its_killed_owner_and_a_leftover_is_replaced(
    directory: Path, temporal_server: TemporalServer
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from payloops import temporal_server as t\n"
        "s = t.start(Path(sys.argv[1]), namespace='loop', program=Path(sys.argv[2]))\n"
        "if sys.argv[3] == 'unguarded': s._guard.kill(); s._guard.wait()\n"
        "print(s.pid, flush=True); time.sleep(600)"
    )
    for mode in ("guarded", "unguarded"):
        command = [sys.executable, "-c", code, str(directory), str(temporal_server.program), mode]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            server = psutil.Process(int(owner.stdout.readline()))
            owner.kill()
        if mode == "guarded":
            assert psutil.wait_procs([server], timeout=60)[0] == [server]
        else:
            assert server.is_running()
            with servers.dev_server(directory) as replaced:
                assert replaced.pid != server.pid
                assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_a_taken_port_and_a_program_that_ends_are_one_line(directory: Path, temporal_server: TemporalServer) -> None:
    for executable, ports in ((temporal_server.program, temporal_server.ports), (Path("/bin/false"), None)):
        began_s = time.monotonic()
        with pytest.raises(TemporalServerError, match="did not start") as caught:
            start(directory, executable, ports)
        assert "\n" not in caught.value.message
        assert time.monotonic() - began_s < 20
    with servers.dev_server(directory):
        pass  # the failed starts left the directory free


def start(directory: Path, executable: Path, ports: temporal_server.Ports | None) -> None:
    temporal_server.start(directory, namespace=servers.NAMESPACE, program=executable, ports=ports)


class TestFinding:
    """Each way, with programs of the test's own in the place of those that would be asked."""

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        def refused(cache: Path) -> Path:
            raise program._NotHere("refused")

        monkeypatch.setattr(program, "_downloaded", refused)
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        return tmp_path / "cache"

    def place(self, path: Path, script: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def test_path_comes_first_then_the_cache(self, cache: Path, tmp_path: Path) -> None:
        cached = self.place(cache / "bin" / "temporal", "echo temporal version 1")
        assert program.find_program(cache) == cached
        on_path = self.place(tmp_path / "path" / "temporal", "echo temporal version 2")
        assert program.find_program(cache) == on_path
        self.place(tmp_path / "path" / "temporal", "echo the name of something else")
        assert program.find_program(cache) == cached

    def test_go_builds_it_into_the_cache_once(self, cache: Path, tmp_path: Path) -> None:
        self.place(
            tmp_path / "path" / "go",
            f"""
            [ $1 = version ] && echo go version go1.26.1 x/y && exit
            [ "$1 $2" = "install {program.MODULE}" ] || exit 1
            printf '#!/bin/sh\\necho temporal version 3\\n' > "$GOBIN/temporal" && /bin/chmod 755 "$GOBIN/temporal"
            """,
        )
        assert program.find_program(cache) == cache / "bin" / "temporal"
        (tmp_path / "path" / "go").unlink()
        assert program.find_program(cache) == cache / "bin" / "temporal"
        assert sorted(each.name for each in cache.iterdir()) == ["bin", "temporal.lock"]

    @pytest.mark.parametrize(
        ("go", "complaint"),
        [
            (None, "go is not on PATH"),
            ("echo go version go1.22.3 x/y", "go1.22 is too old, 1.25 is needed"),
            ("[ $1 = version ] && echo go version go1.25.0 x/y || { echo no module >&2; exit 1; }", "no module"),
        ],
    )
    def test_when_nothing_helps_one_line_says_all(
        self, cache: Path, tmp_path: Path, go: str | None, complaint: str
    ) -> None:
        if go is not None:
            self.place(tmp_path / "path" / "go", go)
        with pytest.raises(TemporalServerError) as caught:
            program.find_program(cache)
        assert "\n" not in caught.value.message
        for part in ("set TEMPORAL_ADDRESS", "PATH: ", "cache: ", "download: refused", complaint):
            assert part in caught.value.message

    def test_the_cache_follows_xdg(self) -> None:
        assert program.cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/payloops")
        assert program.cache_dir({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "payloops"


@workflow.defn(sandboxed=False)
class Sleeper:
    """Fifteen minutes, as the payments that wait for their customer."""

    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(timedelta(minutes=15))
        return "awake"


async def test_time_can_be_skipped(time_skipping: WorkflowEnvironment) -> None:
    began_s = time.monotonic()
    async with Worker(time_skipping.client, task_queue="sleepers", workflows=[Sleeper]):
        done = await time_skipping.client.execute_workflow(Sleeper.run, id=f"s-{uuid4()}", task_queue="sleepers")
    assert done == "awake"
    assert time.monotonic() - began_s < 60


def test_a_hung_server_is_killed(directory: Path) -> None:
    with servers.dev_server(directory) as server:
        os.kill(server.pid, signal.SIGSTOP)
        server.stop(within_s=0.5)
        assert not server.is_running()
