"""Values at rest: forms, keys, rotation, and that nothing opens which should not."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from payloops.crypto import DataKey, DecryptionError, KeyRing, aad
from payloops.errors import ConfigurationError

OLD = "an-old-encryption-key-of-32-chars!"
NEW = "a-new-encryption-key-of-32-chars!!"
ROW = aad("processor_configs", "42", "credentials")
GOLDEN = "v1.afced12b.AAECAwQFBgcICQoLddG7_z8mEVos8uazwKnnousijGyGjg739u11BYo5"
GOLDEN_WRAPPED = "v1.afced12b.AAECAwQFBgcICQoLBrvmkFJVcgJHmoLZvt1hfqy4ybqqxA2eM4PfCXk9areBtLA43RqNt1NBFxogLg3a"
GOLDEN_TEXT = "p1.AAECAwQFBgcICQoLJmy4W6Cdo3b9LfKl0oYVYmSJW8rsh1WdsFUUT5O_dg"


def hkdf_sha256_one_block(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 by hand, for one block of output: an implementation that shares nothing with ours."""
    pseudo_random_key = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(pseudo_random_key, info + b"\x01", "sha256")


def flip_each_character(token: str) -> list[str]:
    return [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]


def flip_each_bit(token: str, head: str) -> list[str]:
    """Every one-bit change of the sealed bytes behind ``head``."""
    body = token.removeprefix(head)
    sealed = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    tokens = []
    for position in range(len(sealed) * 8):
        damaged = sealed.copy()
        damaged[position // 8] ^= 1 << position % 8
        tokens.append(head + base64.urlsafe_b64encode(bytes(damaged)).rstrip(b"=").decode())
    return tokens


def test_golden_values_still_open() -> None:
    ring = KeyRing.from_setting(OLD)
    assert ring.open(GOLDEN, ROW) == b"sk_live_canary"
    data_key = DataKey.unwrap(ring, GOLDEN_WRAPPED, "m-1")
    assert data_key.open_text(GOLDEN_TEXT, aad("order", "7", "customer_email")) == "ann@example.com"


def test_the_form_is_the_documented_one() -> None:
    key = hkdf_sha256_one_block(OLD.encode(), b"payloops/encryption/v1")
    version, key_id, body = KeyRing.from_setting(OLD).seal(b"secret", ROW).split(".")
    sealed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert (version, key_id) == ("v1", hashlib.sha256(key).hexdigest()[:8])
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], ROW) == b"secret"


@given(plaintext=st.binary(max_size=200), parts=st.lists(st.text(max_size=10), max_size=4))
def test_what_is_sealed_opens(plaintext: bytes, parts: list[str]) -> None:
    ring = KeyRing.from_setting(OLD)
    row = aad(*(part.encode("utf-8", "ignore").decode() for part in parts))
    assert ring.open(ring.seal(plaintext, row), row) == plaintext


@given(left=st.lists(st.text(max_size=5), max_size=4), right=st.lists(st.text(max_size=5), max_size=4))
def test_associated_data_is_unambiguous(left: list[str], right: list[str]) -> None:
    try:
        same = aad(*left) == aad(*right)
    except UnicodeEncodeError:
        return
    assert same == (left == right)


def test_any_change_is_refused() -> None:
    ring = KeyRing.from_setting(OLD)
    for changed in [*flip_each_character(GOLDEN), *flip_each_bit(GOLDEN, "v1.afced12b.")]:
        with pytest.raises(DecryptionError):
            ring.open(changed, ROW)


def test_any_change_of_a_data_key_value_is_refused() -> None:
    data_key = DataKey(bytes(range(32)))
    row = aad("order", "7", "customer_email")
    for changed in [*flip_each_character(GOLDEN_TEXT), *flip_each_bit(GOLDEN_TEXT, "p1.")]:
        with pytest.raises(DecryptionError):
            data_key.open_text(changed, row)


@pytest.mark.parametrize(
    "token",
    ("", "v1", "v1.", "v1.afced12b", "v1.afced12b.", "v1.afced12b.AAAA", "v2" + GOLDEN[2:], GOLDEN + "=", GOLDEN + "A",
     GOLDEN + ".x", " " + GOLDEN, GOLDEN + "\n", "v1.afced12b.é", "v1.afced12b.\ud800", "v1.00000000." + GOLDEN[12:],
     GOLDEN_TEXT, GOLDEN.replace("_", "/").replace("-", "+")),
)  # fmt: skip
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(DecryptionError) as refused:
        KeyRing.from_setting(OLD).open(token, ROW)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "other",
    (b"", aad("processor_configs", "43", "credentials"), aad("processor_configs", "4", "2credentials"), ROW[:-1]),
)
def test_a_value_does_not_open_in_another_row(other: bytes) -> None:
    with pytest.raises(DecryptionError):
        KeyRing.from_setting(OLD).open(GOLDEN, other)


def test_rotation() -> None:
    both = KeyRing.from_setting(f"{NEW}, {OLD}")
    assert both.open(GOLDEN, ROW) == b"sk_live_canary"
    assert both.needs_rotation(GOLDEN)
    fresh = both.seal(b"sk_live_canary", ROW)
    assert not both.needs_rotation(fresh)
    assert fresh.split(".")[1] == both.newest_id == KeyRing.from_setting(NEW).newest_id
    with pytest.raises(DecryptionError):
        KeyRing.from_setting(OLD).open(fresh, ROW)
    with pytest.raises(DecryptionError):
        KeyRing.from_setting(NEW).open(GOLDEN, ROW)
    with pytest.raises(DecryptionError):
        both.needs_rotation("nonsense")


def test_a_key_listed_twice_is_one_key() -> None:
    assert KeyRing.from_setting(f"{OLD},{OLD}").open(GOLDEN, ROW) == b"sk_live_canary"


@pytest.mark.parametrize(
    "setting", ("", "short", f"{OLD},", f"{OLD},short", ",".join([OLD] * 9), " " * 40, "\udc80" * 32)
)
def test_unusable_settings_stop_the_start_without_showing_a_key(setting: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        KeyRing.from_setting(setting)
    assert OLD not in str(refused.value)
    assert "ENCRYPTION_KEY" in str(refused.value)


def test_nonces_are_fresh() -> None:
    ring, data_key = KeyRing.from_setting(OLD), DataKey.generate()
    nonces = {ring.seal(b"same", ROW).split(".")[2][:16] for _ in range(5_000)}
    nonces |= {data_key.seal_text("same", ROW).split(".")[1][:16] for _ in range(5_000)}
    assert len(nonces) == 10_000


def test_a_data_key_is_bound_to_its_merchant() -> None:
    ring = KeyRing.from_setting(OLD)
    data_key = DataKey.generate()
    wrapped = data_key.wrap(ring, "merchant-a")
    sealed = data_key.seal_text("ann@example.com", ROW)
    assert DataKey.unwrap(ring, wrapped, "merchant-a").open_text(sealed, ROW) == "ann@example.com"
    with pytest.raises(DecryptionError):
        DataKey.unwrap(ring, wrapped, "merchant-b")
    with pytest.raises(DecryptionError):
        DataKey.generate().open_text(sealed, ROW)
    with pytest.raises(DecryptionError):
        DataKey.unwrap(ring, ring.seal(b"too short", aad("merchant data key", "merchant-a")), "merchant-a")


@settings(max_examples=50)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_any_text_is_sealed_as_it_is(text: str) -> None:
    data_key = DataKey(bytes(32))
    assert data_key.open_text(data_key.seal_text(text, ROW), ROW) == text


def test_a_lone_surrogate_is_refused_without_showing_the_text() -> None:
    with pytest.raises(ValueError, match="surrogate") as refused:
        DataKey(bytes(32)).seal_text("canary\ud800", ROW)
    assert "canary" not in repr(refused.value)
    assert not isinstance(refused.value, UnicodeError)


def test_nothing_shows_a_key() -> None:
    ring, data_key = KeyRing.from_setting(f"{NEW},{OLD}"), DataKey(b"0123456789abcdef0123456789abcdef")
    shown = f"{ring!r} {ring} {data_key!r} {data_key} {data_key._cipher!r}"
    key = hkdf_sha256_one_block(OLD.encode(), b"payloops/encryption/v1")
    for secret in (OLD, NEW, "0123456789abcdef", key.hex(), base64.b64encode(key).decode()):
        assert secret not in shown
    with pytest.raises(ValueError, match="32 bytes") as refused:
        DataKey(b"canary")
    assert "canary" not in str(refused.value)
