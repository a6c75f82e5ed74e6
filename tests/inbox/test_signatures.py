"""Signatures of processors: what holds, what does not, and that nothing a header can say makes it raise."""

from __future__ import annotations

import hmac
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.crypto import processor_signatures as s
from tests.inbox.signing import razorpay_header, stripe_header

BODY = b'{"id": "evt_1"}'
NOW_S = 1_700_000_000.0
SECRET, OTHER = b"whsec_one", b"whsec_two"


def stripe(header: str, *secrets: bytes, body: bytes = BODY, now_s: float = NOW_S) -> bool:
    return s.stripe_signature_holds(header, body, secrets, now_s=now_s)


def signed(secret: bytes = SECRET, body: bytes = BODY, **options: object) -> str:
    return stripe_header(secret.decode(), body, **{"at_s": NOW_S, **options})["Stripe-Signature"]  # type: ignore[arg-type]


@pytest.mark.parametrize("offset_s", [0, -300, 300, 12, -12])
def test_a_timely_signature_holds(offset_s: int) -> None:
    assert stripe(signed(at_s=NOW_S + offset_s), SECRET)


@pytest.mark.parametrize("offset_s", [-301, 301, -86_400, 86_400])
def test_an_untimely_signature_does_not(offset_s: int) -> None:
    assert not stripe(signed(at_s=NOW_S + offset_s), SECRET)


def test_any_live_secret_may_have_signed() -> None:
    assert stripe(signed(OTHER), SECRET, OTHER)
    assert not stripe(signed(OTHER), SECRET)
    assert s.razorpay_signature_holds(razorpay_header("two", BODY)["X-Razorpay-Signature"], BODY, (b"one", b"two"))


def test_any_v1_may_match() -> None:
    wrong = "0" * 64
    right = signed().partition("v1=")[2]
    assert stripe(f"t={int(NOW_S)},v1={wrong},v0=x,v1={right},v1={wrong}", SECRET)
    assert stripe(signed(more=",v1=zz,v0=00"), SECRET)
    many = ",".join(f"v1={wrong}" for _ in range(s.CANDIDATES_MAX))
    assert not stripe(f"t={int(NOW_S)},{many},v1={right}", SECRET)


def test_without_a_secret_nothing_holds() -> None:
    assert not stripe(signed(s._NOBODYS_SECRET))
    digest = razorpay_header(s._NOBODYS_SECRET.decode(), BODY)["X-Razorpay-Signature"]
    assert not s.razorpay_signature_holds(digest, BODY, ())


DAMAGED = (
    "",
    "t=1700000000",
    "v1=" + "a" * 64,
    signed().replace("t=", "T="),
    signed().replace("v1=", "v0="),
    signed().replace("v1=", "v1 ="),
    signed()[:-1],
    signed() + "0",
    signed().upper(),
    signed() + ",t=1700000000",
    signed().replace("t=1700000000", "t=01700000000000"),
    signed().replace("t=1700000000", "t=-1700000000"),
    signed().replace("t=1700000000", "t=1.7e9"),
    signed().replace("t=1700000000", "t=١٧٠٠٠٠٠٠٠٠"),
    signed().replace("t=1700000000", "t= 1700000000"),
    signed() + "é",
    signed() + "\ud800",
    signed() + ",x=" + "y" * s.HEADER_CHARS_MAX,
    "\x00" + signed(),
)


@pytest.mark.parametrize("header", DAMAGED)
def test_damaged_headers_do_not_hold(header: str) -> None:
    assert not stripe(header, SECRET, OTHER)
    assert not s.razorpay_signature_holds(header, BODY, (SECRET,))


def test_ten_thousand_forgeries_do_not_hold() -> None:
    chance = random.Random(1)
    good = signed()
    assert stripe(good, SECRET)
    for _ in range(10_000):
        place = chance.randrange(len(good))
        broken = good[:place] + chance.choice("0123456789abcdefXYZ,=t ") + good[place + 1 :]
        kind = chance.randrange(4)
        if kind == 0 and broken != good:
            assert not stripe(broken, SECRET) or broken.strip() == good
        elif kind == 1:
            assert not stripe(good[:place], SECRET)
        elif kind == 2:
            changed = bytearray(BODY)
            changed[chance.randrange(len(BODY))] ^= 1 << chance.randrange(8)
            assert not stripe(good, SECRET, body=bytes(changed))
        else:
            assert not stripe(signed(chance.randbytes(16).hex().encode()), SECRET, OTHER)


@given(header=st.text(max_size=200) | st.text(st.sampled_from("tv01=,a9 \ud800é"), max_size=200), body=st.binary())
def test_no_header_makes_it_raise(header: str, body: bytes) -> None:
    assert not stripe(header, SECRET, body=body)
    assert not s.razorpay_signature_holds(header, body, (SECRET,))


def test_as_many_digests_are_made_whatever_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    real = hmac.digest

    def counted(key: bytes, message: bytes, digest: str) -> bytes:
        made.append(message)
        return real(key, message, digest)

    monkeypatch.setattr(hmac, "digest", counted)
    for header, secrets in ((signed(), (SECRET,)), ("", (SECRET,)), ("nonsense", ()), (signed(at_s=time.time()), ())):
        made.clear()
        stripe(header, *secrets)
        assert len(made) == 1
