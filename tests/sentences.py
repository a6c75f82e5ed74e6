"""What a message for people must be, whoever wrote it."""

from __future__ import annotations

import re
from typing import Final

LENGTH_MAX: Final = 400
PLACED: Final = "…"
"""What stands for a value that is put in, in a message that is read from the code."""
_OURS: Final = re.compile(
    r"(?i:input should|value error|none ?type|pydantic|traceback|psycopg|postgres|relation \"|constraint|sqlstate|"
    r"asyncio|aiohttp|bad request|\b(dict|tuple|int|str|bool|float)\b|is not valid\.$)|<class|"
    r"\b(None|True|False|SELECT|INSERT|UPDATE)\b|\b[A-Z]\w+(Error|Exception)\b"
)
_NAMED_FIRST: Final = re.compile(r"[A-Za-z][\w.-]* (is|must|may|has|holds|lies|can't)\b")


def problem_of(text: str) -> str | None:
    """What is wrong with the message; None for one that is a sentence. It may begin with the name of a field."""
    if not text or len(text) > LENGTH_MAX:
        return "is empty or too long"
    if not text.endswith((".", "?")) or text.endswith(".."):
        return "does not end with a full stop"
    if "\n" in text or not text.isprintable():
        return "is more than a line"
    if not (text[0].isupper() or text[0] == PLACED or _NAMED_FIRST.match(text)):
        return "begins neither with a capital nor with a field's name"
    ours = _OURS.search(text)
    if ours is not None:
        return f"speaks of our own things: {ours[0]!r}"
    return None
