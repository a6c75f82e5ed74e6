"""Orders are found by their customers' addresses: what lacks is noticed, and made again from the sealed addresses."""

from __future__ import annotations

from uuid import UUID

import pytest

from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.http.customer_email import email_digest
from payloops.projections import order_emails
from payloops.projections.order_emails import OrderEmails
from payloops.projections.personal_data import PersonalData
from tests.integration.http.test_order_lists import searched
from tests.integration.http.world import Api, Merchant
from tests.integration.store.appends import query
from tests.replay import assert_replay_equals_tables, replay_report


def emails_of(api: Api, database: Database) -> OrderEmails:
    return OrderEmails(database, api.services.personal, email_digest)


async def indexed(emails: OrderEmails) -> tuple[int, int]:
    """How many rows were written, in how many batches."""
    written, batches, after = 0, 0, UUID(int=0)
    while True:
        more, last = await emails.index(after)
        if last is None:
            return written, batches
        written, batches, after = written + more, batches + 1, last


async def test_orders_from_before_the_search_are_found_after_it(
    api: Api, merchant: Merchant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_emails, "BATCH_ORDERS", 2)
    other, erased = await api.merchant(), await api.merchant()
    orders = [await api.new_order(merchant, customerEmail=f"Jane{number}@Shop.example") for number in range(4)]
    await api.new_order(other, customerEmail="jane0@shop.example")
    await api.new_order(erased, customerEmail="jane0@shop.example")
    await api.new_order(merchant)
    await query(
        database, "DELETE FROM order_emails WHERE ctid <> (SELECT min(ctid) FROM order_emails) RETURNING order_id"
    )
    await api.services.personal.destroy(erased.id)
    emails = emails_of(api, database)
    report = await replay_report(database, emails)
    assert {(found.table, found.found) for found in report.differences} == {("order_emails", None)}
    lacking = {UUID(found.key) for found in report.differences}
    assert len(lacking) == 4
    assert lacking < {row[0] for row in await query(database, "SELECT id FROM orders WHERE customer_email IS NOT NULL")}
    assert await indexed(emails) == (4, 3)
    assert await indexed(emails) == (0, 3)
    for number, order in enumerate(orders):
        assert await searched(api, merchant, f"jane{number}@shop.example") == [order["id"]]
    report = await assert_replay_equals_tables(database, emails)
    assert report.rows["order_emails"] == 5


@pytest.mark.rewrites_tables
async def test_rows_too_many_are_noticed(api: Api, merchant: Merchant, database: Database) -> None:
    order = await api.new_order(merchant, customerEmail="jane@shop.example")
    bare = await api.new_order(merchant)
    insert = "INSERT INTO order_emails VALUES (%s, 'h1.x', %s) RETURNING order_id"
    await query(database, insert, merchant.id, order["id"])
    await query(database, insert, merchant.id, bare["id"])
    await query(database, insert, (await api.merchant()).id, order["id"])
    report = await replay_report(database, emails_of(api, database))
    assert sorted(report.violations) == sorted(
        [
            f"order {bare['id']}: it is found by an e-mail address, but has none",
            f"order {order['id']}: it is found by an e-mail address, but has none",
            f"order {order['id']}: it is found by more than one e-mail address",
        ]
    )


async def test_a_key_that_does_not_open_is_a_finding(api: Api, merchant: Merchant, database: Database) -> None:
    await api.new_order(merchant, customerEmail="jane@shop.example")
    wrong = PersonalData(database, KeyRing.from_setting("not the encryption key of the tests: another one"))
    report = await replay_report(database, OrderEmails(database, wrong, email_digest))
    ((sentence,), differences) = report.violations, report.difference_count
    assert "can't be opened" in sentence
    assert differences == 0
