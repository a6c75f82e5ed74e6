"""Data keys of merchants: loaded once, gone when destroyed, and bound to rows."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from payloops.crypto import DecryptionError, KeyRing
from payloops.db import Database
from payloops.errors import RuleViolation, Unavailable
from payloops.projections.key_uses import KEYS_MAX, KeyUses
from payloops.projections.personal_data import (
    CUSTOMER_EMAIL,
    KEY_TTL_S,
    MERCHANT_EMAIL,
    MerchantKey,
    PersonalData,
    open_credentials,
    open_key_hash,
    open_password_hash,
    seal_credentials,
    seal_key_hash,
    seal_password_hash,
)
from payloops.values import SystemClock, new_id
from tests.databases import TestDatabase

RING = KeyRing.from_setting("an encryption key of the tests of 48 characters")


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def stored(personal: PersonalData, database: TestDatabase) -> MerchantKey:
    key, row = personal.new_key(new_id())
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(
            "INSERT INTO merchant_keys (merchant_id, wrapped) VALUES (%(merchant_id)s, %(wrapped)s)", row
        )
    return key


async def test_a_value_opens_for_its_own_row_only(database: Database, test_database: TestDatabase) -> None:
    personal = PersonalData(database, RING)
    made, other = stored(personal, test_database), stored(personal, test_database)
    row, another = new_id(), new_id()
    sealed = made.seal(CUSTOMER_EMAIL, row, "jané@x.example")
    key = await personal.key_for(made.merchant_id)
    assert key.open(CUSTOMER_EMAIL, row, sealed) == "jané@x.example"
    assert key.open(CUSTOMER_EMAIL, str(row), sealed) == "jané@x.example"
    assert key.open(CUSTOMER_EMAIL, row, None) is None
    for wrong, field, where in (
        (other, CUSTOMER_EMAIL, row),
        (key, MERCHANT_EMAIL, row),
        (key, CUSTOMER_EMAIL, another),
    ):
        with pytest.raises(DecryptionError):
            wrong.open(field, where, sealed)


async def test_a_key_is_loaded_once_for_all_who_ask_at_a_time(database: Database, test_database: TestDatabase) -> None:
    personal = PersonalData(database, RING)
    made = stored(personal, test_database)
    keys = await asyncio.gather(*(personal.key_for(made.merchant_id) for _ in range(20)))
    assert len({id(key) for key in keys}) == 1


async def test_a_destroyed_key_reads_as_null(database: Database, test_database: TestDatabase) -> None:
    time = Time()
    personal, elsewhere = PersonalData(database, RING), PersonalData(database, RING, monotonic_s=time)
    made = stored(personal, test_database)
    row = new_id()
    sealed = made.seal(CUSTOMER_EMAIL, row, "a@b.example")
    assert (await elsewhere.key_for(made.merchant_id)).open(CUSTOMER_EMAIL, row, sealed) == "a@b.example"
    await personal.destroy(made.merchant_id)
    gone = await personal.key_for(made.merchant_id)
    assert gone.open(CUSTOMER_EMAIL, row, sealed) is None
    with pytest.raises(RuleViolation):
        gone.seal(CUSTOMER_EMAIL, row, "a@b.example")
    time.now_s += KEY_TTL_S
    assert (await elsewhere.key_for(made.merchant_id)).open(CUSTOMER_EMAIL, row, sealed) is None


async def test_keys_are_bounded(
    database: Database, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payloops.projections.personal_data.KEYS_MAX", 2)
    personal = PersonalData(database, RING)
    made = [stored(personal, test_database) for _ in range(4)]
    for key in made:
        await personal.key_for(key.merchant_id)
    assert len(personal._keys) == 2


async def test_without_a_database_it_is_unavailable(test_database: TestDatabase) -> None:
    database = Database(test_database.app_dsn.replace("port=5432", "port=1"), max_size=2)
    await database.open()
    personal = PersonalData(database, RING)
    with pytest.raises(Unavailable):
        await personal.key_for(new_id())
    with pytest.raises(Unavailable):
        await personal.destroy(new_id())
    uses = KeyUses(database, SystemClock())
    uses.used(new_id())
    await uses.close()
    await database.close()


def test_secrets_of_the_service_are_bound_to_their_rows() -> None:
    merchant, other, key_id = new_id(), new_id(), new_id()
    password = seal_password_hash(RING, merchant, "$2b$hash")
    assert open_password_hash(RING, merchant, password) == "$2b$hash"
    key = seal_key_hash(RING, merchant, key_id, "$2b$key")
    assert open_key_hash(RING, merchant, key_id, key) == "$2b$key"
    credentials = seal_credentials(RING, merchant, "stripe", {"secretKey": "sk"})
    assert open_credentials(RING, merchant, "stripe", credentials) == {"secretKey": "sk"}
    with pytest.raises(DecryptionError):
        open_password_hash(RING, other, password)
    with pytest.raises(DecryptionError):
        open_key_hash(RING, merchant, new_id(), key)
    with pytest.raises(DecryptionError):
        open_credentials(RING, merchant, "razorpay", credentials)
    with pytest.raises(DecryptionError):
        open_password_hash(RING, merchant, key)


async def test_uses_of_keys_are_written_together_and_never_go_back(
    database: Database, test_database: TestDatabase
) -> None:
    uses = KeyUses(database, SystemClock(), flush_every_s=0.02)
    keys = [new_id() for _ in range(5)]
    await uses.open()
    for key in keys:
        uses.used(key)
        uses.used(key)

    def written() -> dict[object, object]:
        with psycopg.connect(test_database.app_dsn) as connection:
            return dict(connection.execute("SELECT key_id, last_used_at FROM api_key_uses").fetchall())

    while not written():
        await asyncio.sleep(0.01)
    await uses.close()
    assert set(written()) == set(keys)
    with psycopg.connect(test_database.app_dsn) as connection:
        connection.execute("UPDATE api_key_uses SET last_used_at = now() + interval '1 day'")
    before = written()
    uses.used(keys[0])
    await uses.close()
    assert written() == before


async def test_uses_are_bounded(database: Database) -> None:
    uses = KeyUses(database, SystemClock())
    for _ in range(KEYS_MAX + 10):
        uses.used(new_id())
    assert len(uses._used) == KEYS_MAX
