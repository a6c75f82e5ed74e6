"""Settings in a file: ``.env`` of the working directory. The environment wins over it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from payloops.errors import ConfigurationError

_LINE: Final = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*)")
_BYTES_MAX: Final = 64 * 1024


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables of a file of ``NAME=value`` lines; no such file means none.

    A value may stand in single or double quotes; ``#`` begins a comment on a line of its own or after a blank.

    :raises ConfigurationError: a line is not an assignment, or the file can't be read.
    """
    if not path.is_file():
        return {}
    try:
        lines = path.read_bytes()[:_BYTES_MAX].decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path} can't be read: {problem}") from None
    variables: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"{path}, line {number}, is not NAME=value")
        variables[match[1]] = _value(match[2])
    return variables


def _value(text: str) -> str:
    quote = text[:1]
    if quote in {"'", '"'} and (end := text.find(quote, 1)) > 0:
        return text[1:end]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
