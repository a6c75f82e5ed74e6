"""Templates and the files that pages refer to. Every value that a template shows is escaped (jinja2's autoescape)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import jinja2

from payloops.http.message import Asset
from payloops.values import CURRENCY_EXPONENTS

_PACKAGE: Final = "payloops.http.checkout"
_MEDIA_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_DIGITS: Final = 12


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = asset_name
    return environment


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """The page as it goes to the browser."""
    return _environment().get_template(template).render(values).encode()


def shown_money(amount: int, currency: str) -> str:
    """An amount in minor units for people: ``1,234.50 USD``, ``1,234 JPY``, ``1.234 KWD``."""
    exponent = CURRENCY_EXPONENTS[currency]
    if exponent == 0:
        return f"{amount:,} {currency}"
    whole, fraction = divmod(amount, 10**exponent)
    return f"{whole:,}.{fraction:0{exponent}d} {currency}"


@cache
def _assets() -> Mapping[str, Asset]:
    """Each by its name with a digest of what is in it, so that a name's contents never change."""
    found: dict[str, Asset] = {}
    for file in resources.files(_PACKAGE).joinpath("static").iterdir():
        stem, _, kind = file.name.rpartition(".")
        if kind in _MEDIA_TYPES:
            body = file.read_bytes()
            found[f"{stem}.{hashlib.sha256(body).hexdigest()[:_DIGITS]}.{kind}"] = Asset(body, _MEDIA_TYPES[kind])
    return found


def find_asset(name: str) -> Asset | None:
    """The file of that name."""
    return _assets().get(name)


def asset_name(file: str) -> str:
    """The name under which a file of ``static`` is served now."""
    stem, _, kind = file.rpartition(".")
    return next(name for name in _assets() if name.startswith(f"{stem}.") and name.endswith(f".{kind}"))
