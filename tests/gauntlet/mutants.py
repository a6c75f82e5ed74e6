"""Planted bugs: each must be noticed by the tests named with it. On a copy of the tree, never on the tree itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.gauntlet.mutants_access import ACCESS_MUTANTS
from tests.gauntlet.mutants_checkout import CHECKOUT_MUTANTS
from tests.gauntlet.mutants_webhooks import WEBHOOK_MUTANTS
from tests.gauntlet.planted import Mutant
from tests.gauntlet.service import ROOT

TEST_WITHIN_S: Final = 240.0
COPIED: Final = ("payloops", "tests", "bench", "pyproject.toml", ".env.example", "docs", "Makefile")
SURVIVED: Final = "SURVIVED"
CAUGHT: Final = 1
"""pytest's status for failed tests; any other one says that the tests could not be run."""

_APPEND: Final = "payloops/migrations/0016_append.sql"
_OUTBOX: Final = "payloops/workflows_bridge/outbox.sql"
_STORE: Final = "tests/integration/store/test_append.py"
_AMBIGUOUS: Final = "tests/integration/store/test_ambiguous_commits.py"
_FENCES: Final = "tests/faults/test_fences.py"
_ROWS: Final = "tests/faults/test_rows.py"
_PREPARED: Final = "tests/integration/test_prepared_statement.py"
_HTTP: Final = "tests/integration/http"
_DELIVERIES: Final = "payloops/workflows_bridge/deliveries"
_SENDER: Final = "tests/deliveries/test_sender.py"


MUTANTS: Final = (
    *WEBHOOK_MUTANTS,
    *ACCESS_MUTANTS,
    *CHECKOUT_MUTANTS,
    Mutant(
        "no version check in append_batch",
        _APPEND,
        "ELSE g.version <> 1 + coalesce(",
        "ELSE g.version < 1 + coalesce(",
        (f"{_STORE}::test_a_stream_goes_on_at_its_next_version_only",),
    ),
    Mutant(
        "no lock of the log's head",
        _APPEND,
        "FROM log_head h FOR UPDATE;",
        "FROM log_head h;",
        (f"{_STORE}::test_two_stores_take_turns_on_one_log", f"{_ROWS}::test_row[K8]"),
    ),
    Mutant(
        "a used idempotency key is not looked up",
        _APPEND,
        "        IF FOUND THEN\n            v_refused := v_refused || array(\n                SELECT k.c FROM",
        "        IF false THEN\n            v_refused := v_refused || array(\n                SELECT k.c FROM",
        (f"{_STORE}::test_a_used_idempotency_key_is_told_before_a_conflict",),
    ),
    Mutant(
        "a revoked API key may still append",
        _APPEND,
        "WHERE a.id = k.key AND a.revoked_at IS NULL AND (",
        "WHERE a.id = k.key AND (",
        (f"{_STORE}::test_revocation_holds_from_the_next_append_on",),
    ),
    Mutant(
        "a claim can be taken twice",
        _APPEND,
        "JOIN claims l ON l.claim = k.claim AND l.owner <> k.owner",
        "JOIN claims l ON l.claim = k.claim AND l.owner = k.owner AND false",
        (f"{_STORE}::test_a_claim_may_be_made_again_by_its_owner_only",),
    ),
    Mutant(
        "a batch whose answer was lost is not recognized",
        _APPEND,
        "HAVING count(*) = count(s.notification_id));",
        "HAVING count(*) < count(s.notification_id));",
        (f"{_STORE}::test_the_same_append_twice_is_one_effect",),
    ),
    Mutant(
        "part of a command counts as the command",
        _APPEND,
        "HAVING count(*) = count(s.notification_id));",
        "HAVING count(s.notification_id) > 0);",
        (f"{_STORE}::test_a_part_of_a_command_in_the_log_is_not_the_command",),
    ),
    Mutant(
        "an order of the other mode can be read",
        "payloops/projections/views.sql",
        "ON o.merchant_id = q.merchant AND (q.key IS NULL OR o.test_mode <> a.live);",
        "ON o.merchant_id = q.merchant;",
        (f"{_HTTP}/test_modes.py",),
    ),
    Mutant(
        "an order of the other mode or merchant can be changed",
        "payloops/commands/handlers.py",
        "return owner in {None, self.merchant_id} and (live is None or self.live in {None, live})",
        "return True",
        (f"{_HTTP}/test_modes.py",),
    ),
    Mutant(
        "a processor of the other mode takes the payment",
        "payloops/commands/order.py",
        "return tuple(option for option in options if option.test_mode == facts.test_mode)",
        "return options",
        ("tests/unit/domain/test_order_rules.py",),
    ),
    Mutant(
        "a token that was signed out still holds",
        "payloops/projections/tokens.sql",
        "WHERE r.token_id = %(token)s));",
        "WHERE r.token_id = %(token)s AND false));",
        (f"{_HTTP}/test_accounts.py",),
    ),
    Mutant(
        "a token of an earlier version still holds",
        "payloops/projections/tokens.sql",
        "AND m.token_version = %(version)s",
        "AND m.token_version >= %(version)s",
        (f"{_HTTP}/test_accounts.py",),
    ),
    Mutant(
        "a limit counts what came before it was locked",
        "payloops/migrations/0010_accounts.sql",
        "RETURNING r.hits INTO v_hits;",
        "RETURNING '{}'::timestamptz[] INTO v_hits;",
        (f"{_HTTP}/test_rate_limits.py",),
    ),
    Mutant(
        "whatever a client writes into X-Forwarded-For is its address",
        "payloops/http/client_address.py",
        "        if not _is_of(address, trusted):\n            break\n",
        "",
        ("tests/unit/http/test_client_address.py",),
    ),
    Mutant(
        "tries to sign in are counted after the hash",
        "payloops/http/dashboard/accounts.py",
        "    await services.rate_limits.admit_login(email_digest)\n",
        "",
        (f"{_HTTP}/test_rate_limits.py",),
    ),
    Mutant(
        "a broken connection counts as a failed commit",
        "payloops/events/store/group_commit.py",
        "                    waiting.unsure = True",
        "                    waiting.unsure = False",
        (_AMBIGUOUS,),
    ),
    Mutant(
        "the log can be changed",
        "payloops/migrations/0001_event_log.sql",
        "ALTER TABLE stored_events ENABLE ALWAYS TRIGGER stored_events_append_only;",
        "ALTER TABLE stored_events DISABLE TRIGGER stored_events_append_only;",
        ("tests/integration/test_migrations.py",),
    ),
    Mutant(
        "finishing a row is not fenced",
        _OUTBOX,
        "JOIN item i ON i.seq = o.seq AND i.token = o.lease_token",
        "JOIN item i ON i.seq = o.seq",
        (_FENCES,),
    ),
    Mutant(
        "extending a lease is not fenced",
        _OUTBOX,
        "WHERE o.seq = held.seq AND o.lease_token = held.token",
        "WHERE o.seq = held.seq",
        (_FENCES,),
    ),
    Mutant(
        "putting a row back is not fenced",
        _OUTBOX,
        "WHERE o.seq = i.seq AND o.lease_token = i.token",
        "WHERE o.seq = i.seq",
        (_FENCES,),
    ),
    Mutant(
        "rows of one key overtake each other",
        _OUTBOX,
        "AND (e.kind <> 'wake' OR e.claims > 0 OR e.due_at <= now()))",
        "AND false)",
        (_FENCES,),
    ),
    Mutant(
        "a workflow's state is saved over a later one",
        _OUTBOX,
        "AND r.workflow_id = i.key AND r.version = i.expected",
        "AND r.workflow_id = i.key",
        (_FENCES,),
    ),
    Mutant(
        "a claimed row is due at once",
        _OUTBOX,
        "        due_at = now() + %(lease_s)s * interval '1 second'\n    FROM free",
        "        due_at = now()\n    FROM free",
        (_FENCES,),
    ),
    Mutant(
        "a query waits long for its answer",
        "payloops/projections/reading.py",
        "            with answer_within(connection, ANSWER_TIMEOUT_S):\n                cursor",
        "            with answer_within(connection, 20.0):\n                cursor",
        ("tests/faults/test_silence.py",),
    ),
    Mutant(
        "a socket's last words are the last that is listened for",
        "payloops/db/prepared.py",
        "            else:\n                self._loop.call_soon(self._watch_again)\n",
        "            else:\n                pass\n",
        (f"{_PREPARED}::test_a_socket_that_breaks_after_its_last_words_is_noticed",),
    ),
    Mutant(
        "a call waits for the socket alone",
        "payloops/db/prepared.py",
        "call_later(timeout_s, self.sever)",
        "call_later(timeout_s, lambda: sever(self._connection))",
        (f"{_PREPARED}::test_a_server_that_is_silent_for_good_ends_the_call_in_time",),
    ),
    Mutant(
        "look-ups are planned as the statistics of the moment say",
        _APPEND,
        ") LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS",
        ") LANGUAGE plpgsql AS",
        ("tests/integration/store/test_append_plans.py",),
    ),
    Mutant(
        "each silent connection must be found out by itself",
        "payloops/db/database.py",
        "                    await self._pool.drain()",
        "                    pass",
        ("tests/faults/test_silence.py",),
    ),
    Mutant(
        "a waiting request is answered with what its key won't give",
        "payloops/http/outcome.py",
        "            response = done.response\n    return",
        "            pass\n    return",
        ("tests/faults/test_last_word.py",),
    ),
    Mutant(
        "another merchant's order can be changed",
        "payloops/commands/handlers.py",
        "return owner in {None, self.merchant_id} and (live is None or self.live in {None, live})",
        "return live is None or self.live in {None, live}",
        (f"{_ROWS}::test_row[I2]",),
    ),
    Mutant(
        "another merchant's order can be read",
        "payloops/projections/views.sql",
        "ON o.merchant_id = q.merchant AND (q.key IS NULL OR o.test_mode <> a.live);",
        "ON q.key IS NULL OR o.test_mode <> a.live;",
        (f"{_ROWS}::test_row[I2]",),
    ),
    Mutant(
        "idempotency keys of all merchants are one",
        "payloops/commands/idempotency.py",
        'scope = orjson.dumps([str(merchant_id), method, path, key, *(["live"] if live else [])])',
        'scope = orjson.dumps([method, path, key, *(["live"] if live else [])])',
        (f"{_ROWS}::test_row[C3]",),
    ),
    Mutant(
        "the body of a replay is not compared",
        "payloops/commands/idempotency.py",
        "if stored.request_hash != key.request_hash:",
        "if False:",
        (f"{_ROWS}::test_row[C3]",),
    ),
    Mutant(
        "sealed values do not name their row",
        "payloops/projections/personal_data.py",
        "return aad(field, self.merchant_text, str(row_id))",
        'return aad(field, self.merchant_text, "")',
        (_FENCES,),
    ),
    Mutant(
        "charges carry no idempotency key",
        "payloops/workflows_bridge/processors/stripe.py",
        'cast("PaymentIntentCreateParams", params), {"idempotency_key": key})',
        'cast("PaymentIntentCreateParams", params), {})',
        (f"{_ROWS}::test_row[K2]",),
    ),
    Mutant(
        "a lost answer is a failure",
        "payloops/workflows_bridge/outcomes.py",
        "case p.Unknown():\n            return Outcome(Told.UNKNOWN, reason=answer.reason)",
        'case p.Unknown():\n            return Outcome(Told.DECLINED, code="lost", message=answer.reason)',
        (f"{_ROWS}::test_row[C7]",),
    ),
    Mutant(
        "refunds are not held to what was captured",
        "payloops/commands/order.py",
        "raise RefundExceedsCaptured(",
        "_ = RefundExceedsCaptured(",
        (f"{_ROWS}::test_row[C2]",),
    ),
    Mutant(
        "duplicate names in JSON are taken",
        "payloops/http/json_body.py",
        "if escaped or needs_exact_parse or strings * 2 != body.count(b'\"'):",
        "if needs_exact_parse:",
        (f"{_ROWS}::test_row[I1]",),
    ),
    Mutant(
        "readiness does not look at Temporal",
        "payloops/bootstrap/readiness.py",
        '    if trouble is not None:\n        return CheckResult("degraded", f"{trouble} Payments',
        '    if False:\n        return CheckResult("degraded", f"{trouble} Payments',
        (f"{_ROWS}::test_row[K5]",),
    ),
    Mutant(
        "webhooks go to any address",
        f"{_DELIVERIES}/sender.py",
        "        if reason is not None:\n            course",
        "        if False:\n            course",
        ("tests/deliveries/test_sender_addresses.py::test_a_name_that_rebinds_after_it_was_looked_at",),
    ),
    Mutant(
        "webhooks follow redirects",
        f"{_DELIVERIES}/sender.py",
        "allow_redirects=False",
        "allow_redirects=True",
        (f"{_SENDER}::test_redirects_are_not_followed",),
    ),
    Mutant(
        "webhooks of one order overtake each other",
        f"{_DELIVERIES}/deliverer.py",
        "if receiver.others_first and not now:",
        "if False:",
        ("tests/deliveries/test_delivering.py::test_an_orders_events_come_in_order_even_under_failure",),
    ),
    Mutant(
        "a webhook is sent again after its attempt was recorded",
        f"{_DELIVERIES}/deliverer.py",
        'now = bool(told.get("now")) and state.facts.attempts',
        'now = bool(told.get("now")) and 0',
        ("tests/deliveries/test_retries.py::test_a_retry_that_is_written_twice_sends_once_more",),
    ),
    Mutant(
        "another merchant's event can be sent",
        f"{_DELIVERIES}/outside.py",
        "if event is None or errand.merchant_id not in (None, event.merchant_id):",
        "if event is None:",
        ("tests/deliveries/test_outside.py::test_another_merchants_event_is_not_sent_in_ones_name",),
    ),
    Mutant(
        "all who wait for a failing endpoint try at once",
        f"{_DELIVERIES}/health.sql",
        "AND open_until <= now() AND (probe_until IS NULL OR probe_until <= now())",
        "AND open_until <= now()",
        ("tests/deliveries/test_health.py::test_one_of_many_tries",),
    ),
    Mutant(
        "one merchant's receivers take all slots",
        "payloops/workflows_bridge/lanes.py",
        "if count >= group_max",
        "if False",
        ("tests/unit/test_lanes.py",),
    ),
)


def run() -> int:
    """Plant each bug in turn. Returns 1 when one survived, or could not be planted or tested."""
    survivors: list[str] = []
    healthy: dict[tuple[str, ...], bool] = {}
    with tempfile.TemporaryDirectory(prefix="payloops-mutants-") as directory:
        tree = Path(directory)
        _copy(tree)
        for mutant in MUTANTS:
            began_s = time.monotonic()
            if mutant.tests not in healthy:
                healthy[mutant.tests] = _tested(tree, mutant.tests) == SURVIVED
            verdict = _try(tree, mutant) if healthy[mutant.tests] else "untested: fails without the bug"
            if verdict != "caught":
                survivors.append(f"{mutant.name}: {verdict}")
            print(f"{verdict:12} {time.monotonic() - began_s:5.1f} s  {mutant.name}", flush=True)
    print(f"{len(MUTANTS) - len(survivors)} of {len(MUTANTS)} caught")
    for survivor in survivors:
        print(f"  {survivor}")
    return 1 if survivors else 0


def _copy(tree: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
        else:
            shutil.copy2(source, tree / name)


def _try(tree: Path, mutant: Mutant) -> str:
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"stale ({text.count(mutant.old)} places)"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return _tested(tree, mutant.tests)
    finally:
        path.write_text(text, encoding="utf-8")


def _tested(tree: Path, tests: tuple[str, ...]) -> str:
    """Each test file by itself, until one fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    environ["PYTHONPATH"] = str(tree)
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for test in tests:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", test]
        try:
            done = subprocess.run(
                command, cwd=tree, env=environ, capture_output=True, text=True, timeout=TEST_WITHIN_S, check=False
            )
        except subprocess.TimeoutExpired:
            return "caught"  # a test that hangs would fail by its time limit
        if done.returncode == CAUGHT:
            return "caught"
        if done.returncode != 0:
            return f"untested: {done.stdout.strip().splitlines()[-1:]}"
    return SURVIVED
