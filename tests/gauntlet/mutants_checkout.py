"""Planted bugs of the hosted checkout."""

from __future__ import annotations

from typing import Final

from tests.gauntlet.planted import Mutant

_KEEPER: Final = "payloops/workflows_bridge/checkout.py"
_PAGES: Final = "payloops/http/checkout"
_EXPIRY: Final = "tests/checkout/test_expiry.py"
_ROWS: Final = "tests/faults/test_rows.py"

CHECKOUT_MUTANTS: Final = (
    Mutant(
        "nobody tells of an expiry by time when an order is placed meanwhile",
        _KEEPER,
        "also=also, expected_version=session.facts.version",
        "also=also",
        (f"{_EXPIRY}::test_an_order_that_is_placed_while_its_session_expires_tells_of_it",),
    ),
    Mutant(
        "nobody tells of an expiry by API when an order is placed meanwhile",
        "payloops/http/v1/checkout.py",
        "version=session.facts.version,",
        "version=None,",
        (f"{_EXPIRY}::test_an_order_that_is_placed_while_its_session_expires_tells_of_it", f"{_ROWS}::test_row[CO3]"),
    ),
    Mutant(
        "a payment begins whether its session has expired or not",
        f"{_PAGES}/paying.py",
        "await services.handler.execute(services.orders, order_id, start, also=also)",
        "await services.handler.execute(services.orders, order_id, start)",
        (f"{_EXPIRY}::test_no_payment_begins_once_its_session_has_expired",),
    ),
    Mutant(
        "money that comes late leaves its session expired",
        _KEEPER,
        "case Open() | Expired() if is_paid(order):",
        "case Open() if is_paid(order):",
        (f"{_ROWS}::test_row[CO3]", _EXPIRY),
    ),
    Mutant(
        "a form of another site is taken",
        f"{_PAGES}/forms.py",
        "not in _OWN_SITE:",
        'in {""}:',
        (f"{_ROWS}::test_row[CO4]",),
    ),
    Mutant(
        "a second press begins a second attempt",
        f"{_PAGES}/pages.py",
        "if isinstance(payable, Payable) and payable.attempt == form.attempt:",
        "if isinstance(payable, Payable):\n            form = type(form)(payable.attempt, form.processor, form.token)",
        (f"{_ROWS}::test_row[CO4]",),
    ),
    Mutant(
        "the address of success is filled in at one place only",
        f"{_PAGES}/pages.py",
        "_SESSION_ID.sub(str(facts.session_id), facts.success_url)",
        "_SESSION_ID.sub(str(facts.session_id), facts.success_url, count=1)",
        ("tests/checkout/test_pages.py::test_the_shop_gets_its_customer_at_the_address_that_it_gave",),
    ),
)
