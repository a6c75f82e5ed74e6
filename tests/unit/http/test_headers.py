"""Prefer and If-Match."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from payloops.http.headers import NO_VERSION, expected_version, preferred_wait


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


@pytest.mark.parametrize(
    ("prefer", "wait_s", "applied"),
    (
        ((), 3.0, b""),
        (("wait=5",), 5.0, b"wait=5"),
        (("WAIT = 5",), 5.0, b"wait=5"),
        (('wait="7"',), 7.0, b"wait=7"),
        (("wait=0",), 0.0, b"wait=0"),
        (("wait=31",), 30.0, b"wait=30"),
        (("wait=" + "9" * 500,), 30.0, b"wait=30"),
        (("respond-async",), 0.0, b"respond-async"),
        (("respond-async, wait=9",), 0.0, b"respond-async"),
        (("wait=4; foo=bar, wait=9",), 4.0, b"wait=4"),
        (("return=minimal", "wait=6"), 6.0, b"wait=6"),
        (("wait=x, wait=9",), 3.0, b""),
        (("wait=-5",), 3.0, b""),
        (("wait=1.5",), 3.0, b""),
        (("wait=٣",), 3.0, b""),
        (("wait",), 3.0, b""),
        ((",,;=",), 3.0, b""),
    ),
)
def test_preferences(prefer: tuple[str, ...], wait_s: float, applied: bytes) -> None:
    line = b"Preference-Applied: " + applied + b"\r\n" if applied else b""
    assert preferred_wait(headers(*(("Prefer", value) for value in prefer)), 3.0) == (wait_s, line)


@pytest.mark.parametrize(
    ("tag", "version"),
    (
        ('"3"', 3),
        ("3", 3),
        (' "3" ', 3),
        ("*", None),
        ('W/"3"', -1),
        ('"x"', -1),
        ('"3", "4"', -1),
        ('"' + "9" * 40 + '"', -1),
        ("", -1),
    ),
)
def test_if_match(tag: str, version: int | None) -> None:
    assert expected_version(headers(("If-Match", tag))) == version
    assert expected_version(headers()) is None


def test_two_lines_of_if_match_are_a_list_and_name_no_version() -> None:
    assert expected_version(headers(("If-Match", '"3"'), ("If-Match", '"3"'))) == NO_VERSION
    assert expected_version(headers(("If-Match", "*"), ("If-Match", '"3"'))) == NO_VERSION
