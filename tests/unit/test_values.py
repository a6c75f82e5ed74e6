"""Money, currencies, ids and time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.values import AMOUNT_MAX, CURRENCY_EXPONENTS, Money, SystemClock, currency_code, iso, named_id, new_id


class TestCurrency:
    @pytest.mark.parametrize(
        ("code", "exponent"),
        [("USD", 2), ("EUR", 2), ("INR", 2), ("JPY", 0), ("ISK", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4)],
    )
    def test_each_has_its_decimal_places(self, code: str, exponent: int) -> None:
        assert CURRENCY_EXPONENTS[code] == exponent

    @pytest.mark.parametrize("text", ["usd", "Usd", "USD", "uSD"])
    def test_any_case_is_understood(self, text: str) -> None:
        assert currency_code(text) == "USD"

    @pytest.mark.parametrize("text", ["", "US", "USDX", "XXX", "XTS", "XAU", "ABC", " USD", "USD\n", "DEM"])
    def test_what_is_no_money_of_today_is_unknown(self, text: str) -> None:
        assert currency_code(text) is None

    @pytest.mark.parametrize("text", ["u\u017fd", "\u0131nr", "\uff35\uff33\uff24"])
    def test_look_alikes_of_other_alphabets_are_unknown(self, text: str) -> None:
        assert currency_code(text) is None


class TestMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "shown"),
        [
            (1234, "USD", "12.34 USD"),
            (5, "USD", "0.05 USD"),
            (1234, "JPY", "1234 JPY"),
            (1234, "KWD", "1.234 KWD"),
            (7, "KWD", "0.007 KWD"),
            (-34, "USD", "-0.34 USD"),
            (-34, "JPY", "-34 JPY"),
            (AMOUNT_MAX, "USD", "90071992547409.91 USD"),
        ],
    )
    def test_it_is_shown_in_major_units(self, amount: int, currency: str, shown: str) -> None:
        assert str(Money(amount, currency)) == shown

    def test_the_largest_amount_is_the_largest_integer_that_every_json_client_reads(self) -> None:
        assert AMOUNT_MAX == 9007199254740991 == int(float(AMOUNT_MAX))
        assert int(float(AMOUNT_MAX + 2)) != AMOUNT_MAX + 2


class TestIds:
    def test_they_are_version_seven_and_sorted_by_time(self) -> None:
        ids = [new_id() for _ in range(1000)]
        assert {made.version for made in ids} == {7}
        assert ids == sorted(set(ids))

    def test_they_carry_the_present(self) -> None:
        before_ms = time.time_ns() // 1_000_000
        made_ms = new_id().int >> 80
        assert before_ms <= made_ms <= time.time_ns() // 1_000_000

    @given(st.uuids(), st.text(st.characters(codec="utf-8"), max_size=60))
    def test_a_named_one_is_the_librarys_own(self, namespace: UUID, name: str) -> None:
        made, theirs = named_id(namespace, name), uuid5(namespace, name)
        assert (made, hash(made), str(made), made.version, made.is_safe) == (
            *(theirs, hash(theirs), str(theirs), 5, theirs.is_safe),
        )


class TestTime:
    def test_the_clock_is_in_utc_and_whole_milliseconds(self) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        now = SystemClock().now()
        assert before <= now <= datetime.now(UTC)
        assert now.tzinfo is UTC
        assert now.microsecond % 1000 == 0

    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
            (datetime(2026, 1, 2, 3, 4, 5, 6_999, tzinfo=UTC), "2026-01-02T03:04:05.006Z"),
            (datetime(2026, 1, 2, 0, 0, 0, tzinfo=timezone(timedelta(hours=5.5))), "2026-01-01T18:30:00.000Z"),
        ],
    )
    def test_the_wire_format(self, moment: datetime, text: str) -> None:
        assert iso(moment) == text
        assert datetime.fromisoformat(text) <= moment
