"""The steps of a guide: what a reader types, and the answer that the document shows under it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ONLY_MAKE: Final = re.compile(r"(\s*(make\b.*|#.*)?\n)+")
ANSWERS: Final = ("http", "json", "text")


@dataclass(frozen=True)
class Step:
    """One ``bash`` block. ``shown`` is the block of an answer (``http``, ``json`` or ``text``) that follows it."""

    name: str
    script: str
    kind: str = ""
    shown: str = ""

    @property
    def reads_only(self) -> bool:
        """Whether it may be run again: it changes nothing and keeps nothing."""
        return re.search(r"(^|\s)(-d|-X|--data\S*)\s|=\$\(|<<", self.script) is None


def steps(path: Path) -> Iterator[Step]:
    """The steps of a document. Blocks of ``make`` alone start what is there."""
    text = path.read_text("utf-8")
    blocks = [(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in _FENCE.finditer(text)]
    for place, (language, script, line) in enumerate(blocks):
        if language != "bash" or _ONLY_MAKE.fullmatch(script):
            continue
        kind, shown, _ = blocks[place + 1] if place + 1 < len(blocks) else ("", "", 0)
        if kind not in ANSWERS:
            kind, shown = "", ""
        yield Step(f"{path.name}:{line}", script, kind, shown)
