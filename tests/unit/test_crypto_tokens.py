"""The dashboard's tokens, and every way to forge one that we know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.crypto import Claims, JwtSigner
from payloops.errors import ConfigurationError, InvalidToken

SECRET = "the-first-jwt-secret-of-32-chars!!"
NEWER = "the-second-jwt-secret-of-32-chars!"
ISSUER, AUDIENCE = "payloops", "payloops-dashboard"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
MERCHANT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TOKEN_ID = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"


def signer(setting: str = SECRET, **changes: Any) -> JwtSigner:
    options: dict[str, Any] = {"expires_in_s": 3600, "issuer": ISSUER, "audience": AUDIENCE}
    return JwtSigner(setting, **(options | changes))


def part(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def kid(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def forge(
    claims: object, *, header: object = None, secret: str = SECRET, digest: str = "sha256", signature: str | None = None
) -> str:
    """A token made by hand, so that nothing in it is made sound by a library."""
    head = {"alg": "HS256", "typ": "JWT", "kid": kid(SECRET)} if header is None else header
    signed = f"{part(head)}.{part(claims)}"
    if signature is None:
        mac = hmac.digest(secret.encode(), signed.encode(), digest)
        signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    return f"{signed}.{signature}"


def good(**changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "sub": str(MERCHANT), "iss": ISSUER, "aud": AUDIENCE,
        "iat": NOW_S, "exp": NOW_S + 3600, "jti": TOKEN_ID, "ver": 3,
    }  # fmt: skip
    return {name: value for name, value in (claims | changes).items() if value is not ...}


def test_golden_token_still_holds() -> None:
    assert signer().verify(forge(good()), NOW) == Claims(
        merchant_id=MERCHANT,
        token_version=3,
        token_id=UUID(TOKEN_ID),
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )


def test_an_issued_token_has_the_form_of_the_contract() -> None:
    token = signer().issue(MERCHANT, 3, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": kid(SECRET)}
    claims = jwt.decode(
        token, SECRET.encode(), algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False, "require": list(good())},
    )  # fmt: skip
    assert claims == good(jti=claims["jti"])
    assert signer().verify(token, NOW).token_id == UUID(claims["jti"])


def test_each_token_has_its_own_id() -> None:
    tokens = [signer().verify(signer().issue(MERCHANT, 1, NOW), NOW).token_id for _ in range(50)]
    assert len(set(tokens)) == 50


def test_it_holds_until_the_second_it_expires() -> None:
    token = signer().issue(MERCHANT, 1, NOW)
    assert signer().verify(token, NOW + timedelta(seconds=3599.999)).merchant_id == MERCHANT
    with pytest.raises(InvalidToken):
        signer().verify(token, NOW + timedelta(seconds=3600))


def test_another_process_may_have_a_clock_a_little_ahead() -> None:
    token = signer().issue(MERCHANT, 1, NOW)
    assert signer().verify(token, NOW - timedelta(seconds=60)).merchant_id == MERCHANT
    with pytest.raises(InvalidToken):
        signer().verify(token, NOW - timedelta(seconds=61))


def test_rotation() -> None:
    old, both, new = signer(SECRET), signer(f"{NEWER}, {SECRET}"), signer(NEWER)
    before, after = old.issue(MERCHANT, 1, NOW), both.issue(MERCHANT, 1, NOW)
    for verifier, token in ((both, before), (both, after), (new, after)):
        assert verifier.verify(token, NOW).merchant_id == MERCHANT
    for verifier, token in ((old, after), (new, before)):
        with pytest.raises(InvalidToken):
            verifier.verify(token, NOW)


def test_a_key_answers_only_to_its_own_id() -> None:
    """Signed with one live key under the id of the other."""
    with pytest.raises(InvalidToken):
        signer(f"{NEWER},{SECRET}").verify(forge(good(), secret=NEWER), NOW)


HEADER = {"alg": "HS256", "typ": "JWT", "kid": kid(SECRET)}
GOOD = forge(good())
ATTACKS = {
    "empty": "",
    "one part": "x",
    "two parts": GOOD.rpartition(".")[0],
    "no signature": GOOD.rpartition(".")[0] + ".",
    "five parts (JWE)": GOOD + ".a.b",
    "padding": GOOD + "=",
    "blank": " " + GOOD,
    "newline": GOOD + "\n",
    "bearer": "Bearer " + GOOD,
    "non-ASCII": GOOD + "é",
    "lone surrogate": "\ud800" + GOOD,
    "huge": "a" * 5_000_000,
    "long, though signed": forge(good(extra="x" * 2_000)),
    "alg none": forge(good(), header=HEADER | {"alg": "none"}, signature=""),
    "alg None": forge(good(), header=HEADER | {"alg": "None"}, signature=""),
    "alg none with a signature": forge(good(), header=HEADER | {"alg": "none"}),
    "alg missing": forge(good(), header={"typ": "JWT", "kid": kid(SECRET)}),
    "alg null": forge(good(), header=HEADER | {"alg": None}),
    "alg lower case": forge(good(), header=HEADER | {"alg": "hs256"}),
    "HS384": forge(good(), header=HEADER | {"alg": "HS384"}, digest="sha384"),
    "HS512": forge(good(), header=HEADER | {"alg": "HS512"}, digest="sha512"),
    "RS256 (key confusion)": forge(good(), header=HEADER | {"alg": "RS256"}),
    "kid missing": forge(good(), header={"alg": "HS256", "typ": "JWT"}),
    "kid unknown": forge(good(), header=HEADER | {"kid": "00000000"}),
    "kid of another secret": forge(good(), header=HEADER | {"kid": kid(NEWER)}, secret=NEWER),
    "kid a number": forge(good(), header=HEADER | {"kid": 1}),
    "kid a list": forge(good(), header=HEADER | {"kid": [kid(SECRET)]}),
    "kid a path": forge(good(), header=HEADER | {"kid": "../../dev/null"}, secret=""),
    "kid empty": forge(good(), header=HEADER | {"kid": ""}, secret=""),
    "typ of something else": forge(good(), header=HEADER | {"typ": "at+jwt"}),
    "crit": forge(good(), header=HEADER | {"crit": ["exp"]}),
    "b64 false": forge(good(), header=HEADER | {"b64": False, "crit": ["b64"]}),
    "own jwk": forge(good(), header={"alg": "HS256", "jwk": {"kty": "oct", "k": part("x" * 32)}}, secret="x" * 32),
    "other secret": forge(good(), secret=NEWER),
    "empty secret": forge(good(), secret=""),
    "header not an object": forge(good(), header=["HS256"]),
    "header not JSON": forge(good(), header="{"),
    "claims not an object": forge([good()]),
    "claims not JSON": forge("{"),
    "claims nested deep": forge("[" * 500),
    "wrong issuer": forge(good(iss="other")),
    "issuer a list": forge(good(iss=[ISSUER])),
    "wrong audience": forge(good(aud="merchant-api")),
    "audience a list": forge(good(aud=[AUDIENCE, "other"])),
    "audience empty": forge(good(aud="")),
    "expired": forge(good(exp=NOW_S)),
    "exp text": forge(good(exp=str(NOW_S + 60))),
    "exp a float": forge(good(exp=NOW_S + 60.5)),
    "exp true": forge(good(exp=True)),
    "exp infinite": forge(json.dumps(good()).replace(str(NOW_S + 3600), "Infinity")),
    "exp enormous": forge(good(exp=10**400)),
    "exp beyond the calendar": forge(good(exp=253402300800)),
    "exp negative": forge(good(exp=-1)),
    "issued in the future": forge(good(iat=NOW_S + 120)),
    "not yet": forge(good(nbf=NOW_S + 120)),
    "nbf text": forge(good(nbf="0")),
    "sub no UUID": forge(good(sub="admin")),
    "sub a number": forge(good(sub=1)),
    "jti no UUID": forge(good(jti="x")),
    "jti a number": forge(good(jti=1)),
    "ver text": forge(good(ver="3")),
    "ver negative": forge(good(ver=-1)),
    "ver true": forge(good(ver=True)),
} | {f"{claim} missing": forge(good(**{claim: ...})) for claim in good()} | {
    f"{claim} null": forge(good(**{claim: None})) for claim in good()
}  # fmt: skip


@pytest.mark.parametrize("token", list(ATTACKS.values()), ids=list(ATTACKS))
def test_attacks_are_refused_alike(token: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        signer(f"{SECRET},{'a-third-jwt-secret-of-32-chars!!!!'}").verify(token, NOW)
    assert refused.value.message == "This token is not valid: it is malformed, expired or revoked; sign in again."
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_every_flipped_bit_is_refused() -> None:
    verifier = signer()
    for position, bit in itertools.product(range(len(GOOD)), range(7)):
        changed = GOOD[:position] + chr(ord(GOOD[position]) ^ 1 << bit) + GOOD[position + 1 :]
        with pytest.raises(InvalidToken):
            verifier.verify(changed, NOW)


@given(token=st.text(max_size=200) | st.lists(st.binary(max_size=40), max_size=5).map(
    lambda parts: ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts)
))  # fmt: skip
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        signer().verify(token, NOW)


@pytest.mark.parametrize(
    ("setting", "changes"),
    (
        ("", {}),
        ("short", {}),
        (f"{SECRET},short", {}),
        (f"{SECRET},{SECRET},{SECRET}", {}),
        ("\udc80" * 32, {}),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB", {}),
        (SECRET, {"expires_in_s": 0}),
    ),
)
def test_unusable_settings_stop_the_start_without_showing_a_secret(setting: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        signer(setting, **changes)
    assert SECRET not in str(refused.value)
    assert "AAAAB3" not in str(refused.value)
    assert "JWT_" in str(refused.value)


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in f"{signer()} {signer()!r}"
    assert kid(SECRET) in repr(signer())
