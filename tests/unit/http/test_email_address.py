"""The one normal form of an e-mail address."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payloops.errors import InvalidInput
from payloops.http.email_address import digest, normal_form


@pytest.mark.parametrize(
    ("typed", "normal"),
    (
        ("jane@shop.example", "jane@shop.example"),
        ("  Jane.Doe+tag@SHOP.example.\n", "jane.doe+tag@shop.example"),
        ("ＪＡＮＥ＠ｓｈｏｐ．ｅｘａｍｐｌｅ", "jane@shop.example"),
        ("JANE\u0301@shop.example", "jané@shop.example"),
        ("Straße@straße.example", "strasse@strasse.example"),
        ("a@MÜNCHEN.example", "a@xn--mnchen-3ya.example"),
        ("a@münchen。example", "a@xn--mnchen-3ya.example"),
        ("ﬁ@shop.example", "fi@shop.example"),
    ),
)
def test_forms_of_one_address(typed: str, normal: str) -> None:
    assert normal_form(typed) == normal
    assert normal_form(normal) == normal


@pytest.mark.parametrize(
    "text",
    (
        *("", "@", "a@", "@b.example", "a", "a@b", "a@b@c.example", "a b@c.example", "a\x00@b.example", "a@b..example"),
        *("a@-b.example", "a@b_c.example", '"a"@b.example', "a(x)@b.example", "a@[127.0.0.1]", "a@b.example\u200b@c"),
        *(
            f"{'x' * 65}@b.example",
            f"a@{'b' * 64}.example",
            f"a@{'b.' * 130}example",
            "x" * 100_000,
            "\ud800@b.example",
        ),
        *("a@b.example, c@d.example", "a\r\nBcc: x@b.example", "a@b.example/x", "a@b%41.example"),
    ),
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput, match="e-mail"):
        normal_form(text)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_refused_or_has_a_stable_form(local: str, domain: str) -> None:
    try:
        normal = normal_form(f"{local}@{domain}.example")
    except InvalidInput:
        return
    assert normal_form(normal) == normal
    assert len(digest(normal)) == 64
