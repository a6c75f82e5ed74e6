"""SQL in files of its own: blocks that are called by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_BLOCK_NAME = re.compile(r"^--[ \t]*name:[ \t]*(.*?)[ \t]*$", re.MULTILINE)


@cache
def load_sql(package: str, name: str) -> Mapping[str, str]:
    """The named blocks of ``name.sql``, which lies beside the modules of ``package``: ``{block name: SQL}``.

    A block starts with a line ``-- name: claim_due`` and ends before the next one. Comments may stand before the first.

    :raises FileNotFoundError: there is no such file.
    :raises ValueError: a block has a bad or repeated name or no SQL, or SQL stands before the first block.
    """
    text = resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return MappingProxyType(parse_sql_blocks(text, f"{name}.sql"))


def parse_sql_blocks(text: str, source: str) -> dict[str, str]:
    """The blocks of one file; see :func:`load_sql`. ``source`` is named in errors."""
    pieces = _BLOCK_NAME.split(text)
    if _without_comments(pieces[0]):
        raise ValueError(f"{source}: SQL stands before the first '-- name:' line")
    blocks: dict[str, str] = {}
    for block, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", block):
            raise ValueError(f"{source}: {block!r} is not a block name")
        if block in blocks:
            raise ValueError(f"{source}: block {block} stands twice")
        if not _without_comments(body):
            raise ValueError(f"{source}: block {block} is empty")
        blocks[block] = body.strip()
    return blocks


def _without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text).strip()
