"""Whether an answer is the one that a document shows.

Words and amounts must be the same; ids, times, secrets and addresses are examples. ``…`` stands for what is left out:
in a text for any characters, as the last entry of a list or as a name in an object for more of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

LEFT_OUT: Final = "…"
VARYING: Final = frozenset({"correlationId", "position", "durationMs", "nextAfter", "workflowId", "causationId"})
"""Fields whose values are their kind alone."""
_EXAMPLES: Final = tuple(
    (re.compile(pattern), stands_for)
    for pattern, stands_for in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", "<time>"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b", "<date>"),
        (r"http://127\.0\.0\.1:[0-9]+", "<address>"),
        (r"\b(pi|ch|re|we|order|pay|rfnd|evt|dp|cs|ord)_(…|[A-Za-z0-9_-]{6,})", r"<\1>"),
    )
)


def differences(shown: Any, found: Any, path: str = "") -> Iterator[str]:
    """How the answer differs from what is shown."""
    if isinstance(shown, dict) and isinstance(found, dict):
        yield from _of_objects(shown, found, path)
    elif isinstance(shown, list) and isinstance(found, list):
        yield from _of_lists(shown, found, path)
    elif type(shown) is not type(found) or not (path.rpartition(".")[2] in VARYING or _same(shown, found)):
        yield f"{path or 'the answer'} is {found!r}, shown is {shown!r}"


def _of_objects(shown: dict[str, Any], found: dict[str, Any], path: str) -> Iterator[str]:
    expected = {name: value for name, value in shown.items() if name != LEFT_OUT}
    for name in sorted(expected.keys() - found.keys()):
        yield f"{path or 'the answer'} has no {name}"
    for name in sorted(found.keys() - expected.keys()):
        if LEFT_OUT not in shown:
            yield f"{path or 'the answer'} has {name}, which is not shown"
    for name in expected.keys() & found.keys():
        yield from differences(expected[name], found[name], f"{path}.{name}".lstrip("."))


def _of_lists(shown: list[Any], found: list[Any], path: str) -> Iterator[str]:
    more = shown[-1:] == [LEFT_OUT]
    expected = shown[:-1] if more else shown
    if len(found) < len(expected) or (len(found) > len(expected) and not more):
        yield f"{path or 'the answer'} has {len(found)} entries, not {len(expected)}"
    for index, (one, other) in enumerate(zip(expected, found, strict=False)):
        yield from differences(one, other, f"{path}.{index}".lstrip("."))


def _same(shown: Any, found: Any) -> bool:
    return same_text(shown, found) if isinstance(shown, str) else bool(shown == found)


def same_text(shown: str, found: str) -> bool:
    """Whether two texts are the same but for examples."""
    pattern = ".*".join(re.escape(part) for part in _general(shown).split(LEFT_OUT))
    return re.fullmatch(pattern, _general(found), re.DOTALL) is not None


def _general(text: str) -> str:
    for pattern, stands_for in _EXAMPLES:
        text = pattern.sub(stands_for, text)
    return text


def parsed_http(shown: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a shown reply."""
    head, _, body = shown.partition("\n\n")
    status_line, *lines = head.strip().splitlines()
    match = re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) [A-Za-z ]+", status_line)
    assert match is not None, f"{status_line!r} is no status line"
    return int(match[1]), dict(line.split(": ", 1) for line in lines), body


def value_of(text: str) -> Any:
    """The JSON value of a text, or the text where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
