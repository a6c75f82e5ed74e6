"""The secrets by which we sign what we send to merchants."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from payloops.crypto.webhook_signatures import SECRET_PREFIX

SECRET_BYTES: Final = 32


def generate_webhook_secret() -> str:
    """A fresh secret: ``whsec_`` and the standard base64 of 32 random bytes (Standard Webhooks asks for 24 to 64)."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
