"""One module a row, named ``p1_append``: ``WHAT`` says what is measured, ``run(bench)`` gives the results.

A module is found by its name; nothing else lists it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from types import ModuleType

_NAME = re.compile(r"([a-z]+)([0-9]+)_[a-z0-9_]+")


class UnknownRowError(ValueError):
    """A row was asked for that there is none of."""


def modules() -> Mapping[str, str]:
    """Row id (``P1``) -> module name, in the order of the ids."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if match := _NAME.fullmatch(module.name):
            found[(match[1].upper(), int(match[2]))] = module.name
    return {f"{letter}{number}": found[letter, number] for letter, number in sorted(found)}


def chosen(names: Sequence[str]) -> list[str]:
    """The ids of the rows asked for, all of them when none is named. Raises UnknownRowError."""
    known = modules()
    wanted = [name.upper() for name in names] or list(known)
    for name in wanted:
        if name not in known:
            raise UnknownRowError(f"there is no row {name}; there are {' '.join(known)}")
    return [name for name in known if name in wanted]


def load(row: str) -> ModuleType:
    """The module of a row that ``chosen`` named."""
    return importlib.import_module(f"{__name__}.{modules()[row]}")
