"""The arithmetic of the measurements, the options, and the load generator's reading of answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bench import closed_loop, load, pacing, report, rows
from bench.harness import Goal, OptionError, Options, Result, at_least, at_most
from bench.http_requests import render
from bench.load import ID, NUMBER, Load, Step
from bench.samples import P99, RATE, Comparison, Rounds, Sample, Window, compare, from_latencies, percentile
from bench.worker import MeasurementError


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0), (1, 1.0)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == expected


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_sample_is_made_from_latencies_in_any_order() -> None:
    assert from_latencies([0.004, 0.001, 0.002], 0.5) == Sample(rate_per_s=6, p50_ms=2, p99_ms=4)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine ran at half its speed in the second round: both sides did, and the ratio is not moved.
    assert compare([200, 100, 220], [100, 50, 110]) == Comparison(value=200, baseline=100, ratio=2, rounds=3)


def test_a_comparison_needs_a_baseline_for_each_round() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([1, 2], [1])


def test_rounds_compare_one_quantity_of_two_sides() -> None:
    measured = Rounds({"a": [Sample(10, 1, 8)], "b": [Sample(5, 1, 2)]})
    assert measured.compare("a", "b", RATE).ratio == 2
    assert measured.compare("a", "b", P99).ratio == 4


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [(at_least(8), 8.0, True), (at_least(8), 7.99, False), (at_most(0.3), 0.3, True), (at_most(0.3), 0.31, False)],
)
def test_goals_on_their_edges(goal: Goal, ratio: float, met: bool) -> None:
    assert goal.met(Comparison(value=1, baseline=1, ratio=ratio, rounds=5)) is met


def test_options_have_defaults_and_a_quick_form() -> None:
    assert Options.from_env({}) == Options(rounds=5, seconds=2.5, quick=False)
    assert Options.from_env({"QUICK": "1"}) == Options(rounds=1, seconds=0.3, quick=True)
    assert Options.from_env({"QUICK": "0", "ROUNDS": "7", "SECONDS": "1.5"}) == Options(7, 1.5, quick=False)


@pytest.mark.parametrize("environ", [{"ROUNDS": "0"}, {"ROUNDS": "many"}, {"SECONDS": "0"}, {"SECONDS": "1e9"}])
def test_options_out_of_bounds_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=next(iter(environ))):
        Options.from_env(environ)


def test_rows_are_found_by_name_and_kept_in_order() -> None:
    assert [row for row in rows.modules() if row.startswith("P")][:7] == ["P1", "P2", "P3", "P4", "P5", "P6", "P7"]
    assert rows.chosen(["p4", "P2"]) == ["P2", "P4"]
    assert rows.chosen([]) == list(rows.modules())
    with pytest.raises(rows.UnknownRowError, match="no row P99"):
        rows.chosen(["P99"])


@pytest.mark.parametrize("row", list(rows.modules()))
def test_each_row_says_what_it_measures(row: str) -> None:
    module = rows.load(row)
    assert module.WHAT
    assert callable(module.run)


def test_results_are_written_in_the_form_that_is_promised(tmp_path: Path) -> None:
    comparison = Comparison(value=4321.09, baseline=540.5, ratio=7.99456, rounds=5)
    result = Result.of("P1", "commands", "1/s", comparison, at_least(8))
    report.write(tmp_path, [result], {"P1": {}}, {"cpus": 2})
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert entry == {
        "id": "P1",
        "what": "commands",
        "unit": "1/s",
        "value": 4321.0,
        "baseline": 540.5,
        "ratio": 7.995,
        "goal": "≥ 8×",
        "met": False,
        "rounds": 5,
    }
    assert report.read(tmp_path) == [result]
    assert "NOT MET" in report.table([result])


async def test_a_closed_loop_counts_what_ends_within_the_window() -> None:
    async def call() -> None:
        await asyncio.sleep(0.001)

    sample = await closed_loop.run(call, 4, Window(warmup_s=0.02, seconds=0.1))
    assert 0 < sample.rate_per_s <= 4000
    assert sample.p50_ms >= 1


async def test_an_open_loop_starts_calls_however_long_they_take() -> None:
    numbers = iter(range(1000))

    async def call() -> str:
        number = next(numbers)
        await asyncio.sleep(0.05)
        return str(number)

    started, begin_s = await pacing.run(call, 200, Window(warmup_s=0.02, seconds=0.1))
    assert len(started) == 24
    assert min(started.values()) < begin_s < max(started.values())


def _answer(status: int, body: bytes, *, length_name: bytes = b"Content-Length") -> bytes:
    return b"HTTP/1.1 %d X\r\n%s: %d\r\nX-Other: 1\r\n\r\n%s" % (status, length_name, len(body), body)


async def _loaded(spec: dict[str, Any], answers: list[list[bytes]]) -> tuple[Sample, list[bytes]]:
    """Load a server that gives each request the next of these answers, each in pieces; what it was sent."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(head)
                for piece in answers[(len(requests) - 1) % len(answers)]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with load.open_load({"port": port, **spec}) as measure:
            return Sample(**await measure(Window(warmup_s=0.01, seconds=0.1))), requests


async def test_load_follows_a_flow_and_times_its_last_step() -> None:
    created = _answer(201, b'{"amount": 1, "id": "order-7"}')
    paid = _answer(200, b'{"status":"captured"}', length_name=b"content-length")
    create = {"requests": [render("GET", "/create", {"Idempotency-Key": NUMBER})], "status": 201, "contains": ""}
    pay = {"requests": [render("GET", f"/{ID}/pay", {})], "status": 200, "contains": '"captured"'}
    spec = {"connections": 1, "steps": [create, pay], "timed_from": 1}
    sample, requests = await _loaded(spec, [[created[:9], created[9:-3], created[-3:]], [paid]])
    assert sample.rate_per_s > 0
    assert requests[1].startswith(b"GET /order-7/pay HTTP/1.1\r\n")
    keys = [request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in requests[0::2]]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {16}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_answer(503, b"busy"), "answered 503: busy"),
        (_answer(200, b"{}"), "answered 200"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length"),
    ],
)
async def test_load_fails_loudly_on_an_unexpected_answer(answer: bytes, why: str) -> None:
    step = {"requests": [render("GET", "/", {})], "status": 200, "contains": "captured"}
    with pytest.raises(MeasurementError, match=why):
        await _loaded({"connections": 1, "steps": [step], "timed_from": 0}, [[answer]])


def test_a_load_survives_its_way_to_the_worker() -> None:
    given = Load(80, 32, [Step(["GET / HTTP/1.1\r\n\r\n"], 200, "x")], timed_from=0)
    assert Load.from_json(json.loads(json.dumps(given.to_json()))) == given


def test_requests_are_rendered_with_their_length_in_bytes() -> None:
    text = render("POST", "/x", {"X-API-Key": "k"}, {"name": "é"})
    assert text.startswith("POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: k\r\n")
    head, body = text.split("\r\n\r\n")
    assert f"Content-Length: {len(body.encode())}" in head
