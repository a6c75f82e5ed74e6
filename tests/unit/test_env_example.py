"""``.env.example`` names every setting once, with values that can be used."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from payloops.cli.dotenv import read_dotenv
from payloops.config import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
SHOWN = re.compile(r"#? ?([A-Z][A-Z0-9_]*)=(.*)")


def shown() -> list[tuple[str, str]]:
    return [(match[1], match[2]) for line in EXAMPLE.read_text().splitlines() if (match := SHOWN.fullmatch(line))]


def test_it_names_every_setting_once_and_no_other() -> None:
    assert Counter(name for name, _ in shown()) == Counter(Settings.variables())


def test_the_shown_values_are_accepted() -> None:
    Settings.from_env(dict(shown()))


def test_it_changes_nothing_when_it_is_copied_as_it_is() -> None:
    assert read_dotenv(EXAMPLE) == {}


def test_a_variable_shown_as_default_is_the_default() -> None:
    plain = Settings.from_env({})
    for name in (
        "PORT",
        "HOST",
        "JWT_EXPIRES_IN",
        "PROCESSOR_TIMEOUT_S",
        "PAY_WAIT_S",
        "DB_POOL_MAX",
        "SANDBOX_PORT",
        "APPEND_QUEUE_MAX",
        "RELAY_CONCURRENCY",
        "OUTBOX_LEASE_S",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "OTEL_SERVICE_NAME",
        "STRIPE_API_BASE",
        "RAZORPAY_API_BASE",
        "TEMPORAL_NAMESPACE",
        "API_WORKERS",
        "API_KEY_REQUESTS_PER_MIN",
        "API_KEYS_CREATED_PER_MIN",
        "WEBHOOK_ENDPOINTS_CREATED_PER_MIN",
        "PAYLOOPS_DATA",
        "PAYLOOPS_ENV",
        "WORKFLOW_ENGINE",
        "TEMPORAL_TLS",
        "WEBHOOK_ALLOW_LOOPBACK",
    ):
        assert Settings.from_env({name: dict(shown())[name]}) == plain, name
