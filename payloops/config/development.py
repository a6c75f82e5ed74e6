"""Secrets of a development checkout, and what no secret of production may look like."""

from __future__ import annotations

import contextlib
import json
import os
import secrets as random_secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from payloops.config.parsing import secret_list
from payloops.errors import ConfigurationError

_WORDS_OF_DEFAULTS: Final = (
    "changeme", "change-me", "change_me", "example", "your-", "your_", "password", "default", "insecure",
    "development", "placeholder", "supersecret", "super-secret", "super_secret", "0123456789", "abcdefgh",
)  # fmt: skip
_DISTINCT_CHARACTERS_MIN: Final = 10


def refusal(name: str, problem: str) -> ConfigurationError:
    """What says which variable can't be used, and why."""
    return ConfigurationError(f"{name} {problem}", param=name)


def looks_like_a_default(secret: str) -> bool:
    """Whether a secret reads like one from documentation, or has too few different characters to be random."""
    lowered = secret.lower()
    return len(set(secret)) < _DISTINCT_CHARACTERS_MIN or any(word in lowered for word in _WORDS_OF_DEFAULTS)


def development_secrets(data_dir: Path) -> Mapping[str, str]:
    """JWT_SECRET and ENCRYPTION_KEY of a development checkout, made once in ``data_dir/secrets.json`` (0600).

    Safe when several processes start at once: the first file that is linked into place wins.

    :raises ConfigurationError: the file is damaged or the directory can't be written.
    """
    path = data_dir / "secrets.json"
    try:
        if not path.exists():
            _write_once(path, {name: random_secrets.token_urlsafe(48) for name in ("JWT_SECRET", "ENCRYPTION_KEY")})
        made = json.loads(path.read_text(encoding="utf-8"))
        parse = secret_list(8)
        return {name: parse(made[name]) for name in ("JWT_SECRET", "ENCRYPTION_KEY")}
    except OSError as problem:
        raise refusal("PAYLOOPS_DATA", f"can't hold the development secrets: {problem.strerror} ({path})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise refusal(
            "PAYLOOPS_DATA",
            f"holds a damaged {path}; restore it, or delete the whole directory (its data can't be read without it)",
        ) from None


def _write_once(path: Path, content: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{random_secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
