"""Planted bugs in what keeps callers apart (A1 to A8) and in what clients may send (I1 to I8)."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.planted import Mutant

_ROWS: Final = "tests/faults/test_rows.py"
_HTTP: Final = "tests/integration/http"
_AUTH: Final = "payloops/http/auth.py"
_TOKENS: Final = "payloops/crypto/tokens.py"
_REPLIES: Final = "payloops/http/replies.py"
_TOKEN_TESTS: Final = ("tests/unit/test_crypto_tokens.py",)
_REPLY_TESTS: Final = ("tests/unit/http/test_replies.py",)
_EMAIL_TESTS: Final = ("tests/unit/http/test_email_address.py",)
_KEY_BOUNDS: Final = ("tests/unit/domain/test_api_key_bounds.py",)
_WALK: Final = (f"{_HTTP}/test_openapi_walk.py",)

ACCESS_MUTANTS: Final = (
    Mutant(
        "A1: a processor's event is shown to anybody",
        "payloops/projections/processor_events.sql",
        "s.originator_version = 1\nWHERE e.merchant_id = %(merchant)s;",
        "s.originator_version = 1\nWHERE %(merchant)s::uuid IS NOT NULL;",
        (f"{_HTTP}/test_isolation.py::test_what_another_merchant_has_is_as_absent_as_what_never_was",),
    ),
    Mutant(
        "A2: scopes are not asked for",
        "payloops/http/app.py",
        "            caller.require(route.scope)\n",
        "",
        (f"{_HTTP}/test_auth.py::test_scopes",),
    ),
    Mutant(
        "A2: the dashboard takes whoever has a signed token, whatever became of it",
        _AUTH,
        "if not await self._tokens.hold(claims):",
        "if False:",
        (f"{_HTTP}/test_accounts.py",),
    ),
    Mutant(
        "A3: a client's own id and version are taken",
        "payloops/http/v1/orders.py",
        "external_id=asked.external_id or",
        'external_id=asked.external_id or str(body.get("merchantId") or "") or',
        (f"{_HTTP}/test_isolation.py::test_fields_that_are_not_a_clients_are_inert",),
    ),
    Mutant(
        "A4: other algorithms are taken",
        _TOKENS,
        "algorithms=[_ALGORITHM],",
        'algorithms=[_ALGORITHM, "HS384", "HS512"],',
        _TOKEN_TESTS,
    ),
    Mutant("A4: tokens never expire", _TOKENS, "if expires_at_s <= now_s or ", "if ", _TOKEN_TESTS),
    Mutant(
        "A4: several spellings of one signature hold",
        _TOKENS,
        '        base64url.decode(token.rpartition(".")[2])\n',
        "",
        _TOKEN_TESTS,
    ),
    Mutant(
        "A5: an unknown address is told so",
        "payloops/http/dashboard/accounts.py",
        "    if row is None or not matches:\n",
        '    if row is None:\n        raise InvalidCredentials("Nobody has this address.")\n    if not matches:\n',
        (f"{_ROWS}::test_row[A5]",),
    ),
    Mutant(
        "A7: check digits are not looked at",
        "payloops/crypto/api_keys.py",
        'if match is None or match["check"] != _check_digits(text[:-CHECK_LENGTH]):',
        "if match is None:",
        ("tests/unit/test_crypto_api_keys.py",),
    ),
    Mutant(
        "A8: an API key is kept in clear for its replay",
        "payloops/http/dashboard/api_keys.py",
        '"secret": material.full}), secret=True)',
        '"secret": material.full}))',
        (f"{_ROWS}::test_row[A8]",),
    ),
    Mutant(
        "A8: a customer's address is stored in clear",
        "payloops/http/v1/orders.py",
        "customer_email=None if email is None else key.seal(CUSTOMER_EMAIL, order_id, email),",
        "customer_email=email,  # type: ignore[arg-type]",
        (f"{_HTTP}/test_orders.py",),
    ),
    Mutant(
        "I4: who sends a body slowly is waited for",
        "payloops/http/connection.py",
        "BODY_S: Final = 9.0",
        "BODY_S: Final = 90.0",
        (f"{_HTTP}/test_openapi_anywhere.py::test_a_body_that_never_comes_is_given_up_on_every_call",),
    ),
    Mutant(
        "I5: any correlation id is taken",
        "payloops/telemetry/correlation.py",
        "if candidate is not None and _ACCEPTED.fullmatch(candidate):",
        "if candidate is not None and _ACCEPTED.match(candidate):",
        ("tests/unit/test_telemetry_logs.py",),
    ),
    Mutant(
        "I7: wide letters are other letters",
        "payloops/http/email_address.py",
        'unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()',
        "text.casefold().strip()",
        _EMAIL_TESTS,
    ),
    Mutant(
        "I8: an origin that begins like one of ours is ours",
        _REPLIES,
        "return len(origins) == 1 and origins[0] in self._origins",
        "return len(origins) == 1 and origins[0].startswith(tuple(self._origins))",
        (f"{_HTTP}/test_headers.py::test_no_other_origin_is_told_anything",),
    ),
    Mutant(
        "private answers may be kept",
        _REPLIES,
        '    "Cache-Control: no-store\\r\\n"\n',
        '    "Cache-Control: private\\r\\n"\n',
        _REPLY_TESTS,
    ),
    Mutant(
        "a header of replies is not exposed",
        _REPLIES,
        "Preference-Applied, Retry-After,",
        "Preference-Applied,",
        (f"{_HTTP}/test_headers.py::test_a_known_origin_may_read_every_answer_and_all_of_its_headers",),
    ),
    Mutant(
        "an error that a call can give is not described",
        "payloops/http/openapi/errors.py",
        '            yield "idempotency_mismatch"\n',
        "            pass\n",
        (f"{_HTTP}/test_idempotency.py",),
    ),
    Mutant(
        "an error is described that no call can give",
        "payloops/http/openapi/errors.py",
        '    "public": (),\n',
        '    "public": ("invalid_token",),\n',
        _WALK,
    ),
    Mutant(
        "keys that ended take the places of others",
        "payloops/commands/merchant.py",
        "if sum(key.holds(command.now) for key in keys) - ends >= API_KEYS_MAX:",
        "if len(keys) - ends >= API_KEYS_MAX:",
        _KEY_BOUNDS,
    ),
    Mutant(
        "a merchant grows with every key that it ever had",
        "payloops/events/merchant_state.py",
        "    if len(keys) <= ENDED_KEYS_KEPT:\n",
        "    if True:\n",
        _KEY_BOUNDS,
    ),
)
