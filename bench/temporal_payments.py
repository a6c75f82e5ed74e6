"""Payments through Temporal, and the bare workflow beside them: what T2 and T3 measure."""

from __future__ import annotations

from contextlib import ExitStack

from bench.harness import Bench
from bench.rows.p7_pay_to_captured import pay_load
from bench.samples import Rounds
from bench.service import service
from bench.temporal import NAMESPACE, bare_side, dev_server


def payments(bench: Bench, at_once: int) -> Rounds:
    """Both sides, so many payments at a time: API, relay, worker, sandbox and server are processes of their own."""
    with ExitStack() as stack:
        server = stack.enter_context(dev_server())
        database = stack.enter_context(bench.postgres.database())
        settings = {"TEMPORAL_ADDRESS": server.address, "TEMPORAL_NAMESPACE": NAMESPACE}
        ours = stack.enter_context(service(bench, database, **settings))
        sandbox_port = stack.enter_context(ours.sandbox())
        api = stack.enter_context(ours.api())
        stack.enter_context(ours.relay())
        stack.enter_context(ours.worker())
        load = pay_load(api, connections=at_once, wait=True)
        bare = {
            "address": server.address,
            "namespace": NAMESPACE,
            "dsn": database.app_dsn,
            "owner_dsn": database.owner_dsn,
            "sandbox": f"http://127.0.0.1:{sandbox_port}",
            "callers": at_once,
        }
        sides = {
            "payloops": stack.enter_context(bench.worker("bench.load", load.to_json())).measure,
            "bare": stack.enter_context(bare_side(bench, bare)),
        }
        return bench.interleave(sides)
