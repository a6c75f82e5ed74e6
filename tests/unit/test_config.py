from __future__ import annotations

import dataclasses
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest

from payloops.config import Settings, http_url
from payloops.config.development import development_secrets, looks_like_a_default
from payloops.errors import ConfigurationError

GOOD_SECRET = "tVq3xW8zK1nB5mR7yL2pD9sF4gH6jC0a+QeU"
OTHER_SECRET = "uYb2kN7vX4cM9zQ1wE6rT3yU8iO5pA0sLfGd"
PRODUCTION = {
    "PAYLOOPS_ENV": "production",
    "DATABASE_URL": "postgresql://app:pw@db.internal/payloops",
    "JWT_SECRET": GOOD_SECRET,
    "ENCRYPTION_KEY": OTHER_SECRET,
    "TEMPORAL_ADDRESS": "temporal.internal:7233",
    "PUBLIC_URL": "https://pay.shop.test",
}


def test_a_fresh_checkout_needs_no_variable() -> None:
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.sandbox_port) == ("127.0.0.1", 3000, 3001)
    assert settings.public_url == settings.checkout_base_url == "http://127.0.0.1:3000"
    assert settings.stripe_api_base == "http://127.0.0.1:3001"
    assert settings.razorpay_api_base == "http://127.0.0.1:3002"
    assert settings.workflow_engine == "embedded"
    assert settings.webhook_allow_loopback
    assert not settings.production


def test_defaults_follow_other_settings() -> None:
    settings = Settings.from_env(
        {
            "PORT": "4000",
            "SANDBOX_PORT": "4100",
            "TEMPORAL_ADDRESS": "localhost:7233",
            "DATABASE_URL": "postgres://x@h/d",
        }
    )
    assert settings.public_url == "http://127.0.0.1:4000"
    assert settings.razorpay_api_base == "http://127.0.0.1:4101"
    assert settings.workflow_engine == "temporal"
    assert settings.migration_database_url == settings.database_url == "postgres://x@h/d"


def test_a_blank_variable_is_an_unset_one() -> None:
    assert Settings.from_env({"PORT": "  ", "JWT_SECRET": ""}) == Settings.from_env({})


def test_lists_durations_and_flags_are_read() -> None:
    settings = Settings.from_env(
        {
            "CORS_ORIGINS": "https://A.example, http://localhost:5173/",
            "TRUSTED_PROXIES": "10.0.0.0/8, ::1/128",
            "JWT_EXPIRES_IN": "12h",
            "TEMPORAL_TLS": "yes",
            "PUBLIC_URL": "https://pay.shop.test/",
        }
    )
    assert settings.cors_origins == ("https://a.example", "http://localhost:5173")
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.jwt_expires_in_s == 43_200
    assert settings.temporal_tls
    assert settings.public_url == "https://pay.shop.test"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "3000.0"),
        ("PORT", "٣٠٠٠"),
        ("API_WORKERS", "-1"),
        ("PAYLOOPS_ENV", "staging"),
        ("DATABASE_URL", "mysql://x"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", f"{GOOD_SECRET},short"),
        ("JWT_SECRET", f"{GOOD_SECRET},{GOOD_SECRET}"),
        ("JWT_SECRET", ",".join(GOOD_SECRET + end for end in "abc")),
        ("ENCRYPTION_KEY", GOOD_SECRET[:31]),
        ("JWT_EXPIRES_IN", "1 week"),
        ("JWT_EXPIRES_IN", "59"),
        ("JWT_EXPIRES_IN", "91d"),
        ("PROCESSOR_TIMEOUT_S", "31"),
        ("PROCESSOR_TIMEOUT_S", "nan"),
        ("WEBHOOK_ALLOW_LOOPBACK", "maybe"),
        ("PUBLIC_URL", "ftp://x"),
        ("PUBLIC_URL", "https://u:p@x"),
        ("HOST", "a b"),
        ("TEMPORAL_ADDRESS", "localhost"),
        ("OUTBOX_LEASE_S", "0"),
    ],
)
def test_an_unusable_value_stops_the_start_with_one_line(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({name: value})
    assert caught.value.message.startswith(f"{name} ")
    assert caught.value.param == name
    assert "\n" not in caught.value.message
    assert GOOD_SECRET not in caught.value.message


def test_temporal_may_lack_an_address_in_development_only() -> None:
    assert Settings.from_env({"WORKFLOW_ENGINE": "temporal"}).temporal_address == ""
    with pytest.raises(ConfigurationError, match="TEMPORAL_ADDRESS must be set in production"):
        Settings.from_env({**PRODUCTION, "WORKFLOW_ENGINE": "temporal", "TEMPORAL_ADDRESS": ""})


def test_the_sandbox_has_ports_of_its_own() -> None:
    for port in ("3001", "3002"):
        with pytest.raises(ConfigurationError, match="SANDBOX_PORT"):
            Settings.from_env({"PORT": port})


def test_production_starts_with_what_it_needs() -> None:
    settings = Settings.from_env(PRODUCTION)
    assert settings.production
    assert settings.workflow_engine == "temporal"
    assert settings.stripe_api_base == "https://api.stripe.com"
    assert settings.razorpay_api_base == "https://api.razorpay.com"
    assert not settings.webhook_allow_loopback
    assert settings.with_secrets() is settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("JWT_SECRET", ""),
        ("ENCRYPTION_KEY", ""),
        ("JWT_SECRET", "change-me-change-me-change-me-change-me"),
        ("JWT_SECRET", f"{OTHER_SECRET}x,your-jwt-secret-min-32-characters-long"),
        ("ENCRYPTION_KEY", "a" * 64),
        ("ENCRYPTION_KEY", GOOD_SECRET),
        ("TEMPORAL_ADDRESS", ""),
        ("WEBHOOK_ALLOW_LOOPBACK", "true"),
        ("STRIPE_API_BASE", "http://127.0.0.1:3001"),
        ("RAZORPAY_API_BASE", "http://sandbox.internal"),
    ],
)
def test_production_refuses_what_is_for_development_only(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({**PRODUCTION, name: value})
    assert caught.value.message.startswith(name)
    assert "\n" not in caught.value.message
    assert "SECRET" not in name or not value or value not in caught.value.message


def test_production_refuses_the_embedded_engine() -> None:
    with pytest.raises(ConfigurationError, match="embedded engine is for one machine"):
        Settings.from_env({**PRODUCTION, "WORKFLOW_ENGINE": "embedded"})


def test_no_secret_is_shown() -> None:
    environ = {
        **PRODUCTION,
        "TEMPORAL_API_KEY": "temporal-canary-key",
        "MIGRATION_DATABASE_URL": "postgresql://own:canary-pw@h/d",
    }
    text = repr(Settings.from_env(environ))
    for secret in (GOOD_SECRET, OTHER_SECRET, "temporal-canary-key", "canary-pw", "app:pw"):
        assert secret not in text


def test_settings_go_to_a_child_unchanged() -> None:
    for environ in (
        {},
        PRODUCTION,
        {"CORS_ORIGINS": "https://a.example", "TRUSTED_PROXIES": "10.0.0.0/8", "PAY_WAIT_S": "0.1"},
    ):
        settings = Settings.from_env(environ)
        assert Settings.from_env(settings.to_env()) == settings


def test_another_database_can_be_chosen() -> None:
    settings = Settings.from_env({}).with_database("postgresql://app@/x", "postgresql://owner@/x")
    assert (settings.database_url, settings.migration_database_url) == ("postgresql://app@/x", "postgresql://owner@/x")


def test_every_variable_is_documented_by_type_and_name() -> None:
    assert len(Settings.variables()) == len(set(Settings.variables())) == len(dataclasses.fields(Settings))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_a_wildcard_host_is_reached_on_loopback(host: str, url: str) -> None:
    assert http_url(host, 80) == url
    assert Settings.from_env({"HOST": host, "PORT": "80"}).base_url == url


@pytest.mark.parametrize("secret", ["0123456789" * 4, "My-Super-Secret-Value-Of-Great-Length-42", "ab" * 20])
def test_guessable_secrets_are_recognised(secret: str) -> None:
    assert looks_like_a_default(secret)
    assert not looks_like_a_default(GOOD_SECRET)


def test_development_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    home = tmp_path / "a" / "data"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: dict(development_secrets(home)), range(16)))
    assert all(one == made[0] for one in made)
    file = home / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["secrets.json"]
    settings = Settings.from_env({"PAYLOOPS_DATA": str(home)})
    assert settings.jwt_secret == ""
    assert settings.with_secrets().jwt_secret == made[0]["JWT_SECRET"]
    assert settings.with_secrets().encryption_key == made[0]["ENCRYPTION_KEY"]


def test_a_given_secret_wins_over_the_made_one(tmp_path: Path) -> None:
    settings = Settings.from_env({"PAYLOOPS_DATA": str(tmp_path), "JWT_SECRET": GOOD_SECRET}).with_secrets()
    assert settings.jwt_secret == GOOD_SECRET
    assert settings.encryption_key


@pytest.mark.parametrize("content", ["", "{", "[]", '{"JWT_SECRET": 7}', json.dumps({"JWT_SECRET": GOOD_SECRET})])
def test_damaged_development_secrets_are_not_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"damaged .*secrets\.json"):
        development_secrets(tmp_path)
    assert file.read_text() == content


def test_an_unusable_data_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="PAYLOOPS_DATA"):
        development_secrets(tmp_path / "file")


def test_the_workers_queues_and_versions() -> None:
    assert Settings.from_env({}).worker_queues == ("stripe-payments", "razorpay-payments", "backend-operations")
    assert Settings.from_env({"WORKER_QUEUES": " a-b , c,a-b"}).worker_queues == ("a-b", "c")
    for bad in (",", "a b", "-a", "x" * 201):
        with pytest.raises(ConfigurationError, match="WORKER_QUEUES must be a comma-separated list"):
            Settings.from_env({"WORKER_QUEUES": bad})
    with pytest.raises(ConfigurationError, match="WORKER_BUILD_ID must be set beside WORKER_DEPLOYMENT"):
        Settings.from_env({"WORKER_DEPLOYMENT": "payloops"})
    assert Settings.from_env({"WORKER_BUILD_ID": "7"}).worker_build_id == "7"
