"""Parsing of single settings. Each parser raises ValueError with the rest of the sentence "NAME …"."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Parse: TypeAlias = Callable[[str], Any]

SECRET_LENGTH_MIN: Final = 32
DURATION_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def choice(*allowed: str) -> Parse:
    """One of these words, in any case."""

    def parse(raw: str) -> str:
        if raw.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw.lower()

    return parse


def whole(low: int, high: int) -> Parse:
    """A whole number of that range."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


def seconds(low: float, high: float) -> Parse:
    """A number of seconds of that range, with a fraction or without."""

    def parse(raw: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", raw) or not low <= float(raw) <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return float(raw)

    return parse


def duration_s(low_s: int, high_s: int) -> Parse:
    """A duration like 7d, 12h or 90 (seconds), in seconds."""

    def parse(raw: str) -> int:
        match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", raw.lower())
        if match is None:
            raise ValueError('must be seconds or a duration such as "12h" or "7d"')
        value_s = int(match[1]) * DURATION_UNITS_S[match[2]]
        if not low_s <= value_s <= high_s:
            raise ValueError(f"must be from {low_s} to {high_s} seconds")
        return value_s

    return parse


def flag(raw: str) -> bool:
    """True or false, in the usual spellings."""
    if raw.lower() in {"true", "1", "yes", "on"}:
        return True
    if raw.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError("must be true or false")


def text(raw: str) -> str:
    """Any text."""
    return raw


def dsn(raw: str) -> str:
    """A PostgreSQL connection string."""
    if not raw.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a connection string like postgresql://user:password@host:5432/database")
    return raw


def host(raw: str) -> str:
    """A host name or an address."""
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", raw):
        raise ValueError("must be a host name or an address")
    return raw


def address(raw: str) -> str:
    """host:port."""
    if not re.fullmatch(r"[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5}", raw):
        raise ValueError("must be host:port")
    return raw


def url(raw: str) -> str:
    """An http or https URL without query, fragment or user; no slash at its end."""
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be a URL like https://pay.example.com, with no query, fragment or user")
    return raw.rstrip("/")


def script_url(raw: str) -> str:
    """The URL of a script, fit for a Content-Security-Policy."""
    url(raw)
    if not re.fullmatch(r"[!-~]+", raw) or any(mark in raw for mark in ";,'\""):
        raise ValueError("must be the URL of a script, in plain ASCII")
    return raw


def origins(raw: str) -> tuple[str, ...]:
    """Origins as browsers send them, separated by commas."""
    origins = tuple(part.strip().rstrip("/").lower() for part in raw.split(",") if part.strip())
    for origin in origins:
        if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", origin):
            raise ValueError("must be a comma-separated list of origins like https://app.example.com; no wildcard")
    return origins


def queues(raw: str) -> tuple[str, ...]:
    """Names of task queues, separated by commas."""
    queues = tuple(dict.fromkeys(part.strip() for part in raw.split(",") if part.strip()))
    if not queues or not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", queue) for queue in queues):
        raise ValueError("must be a comma-separated list of task queues like stripe-payments,backend-operations")
    return queues


def networks(raw: str) -> tuple[Network, ...]:
    """Networks in CIDR notation, separated by commas."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be a comma-separated list of networks like 10.0.0.0/8") from None


def secret_list(count_max: int) -> Parse:
    """Up to ``count_max`` secrets, separated by commas, each long enough."""

    def parse(raw: str) -> str:
        parts = [part.strip() for part in raw.split(",")]
        if len(parts) > count_max:
            raise ValueError(f'holds more than {count_max} secrets; give "new,old"')
        if any(len(part) < SECRET_LENGTH_MIN for part in parts):
            raise ValueError(f"must be at least {SECRET_LENGTH_MIN} characters; make one with: openssl rand -base64 48")
        if len(set(parts)) < len(parts):
            raise ValueError("names the same secret twice")
        return ",".join(parts)

    return parse
