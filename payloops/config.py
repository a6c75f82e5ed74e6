"""Settings: one frozen object made from an environment mapping. Nothing is read at import.

Every variable is declared once, on its field; ``.env.example`` is tested against these declarations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import secrets as random_secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from payloops.errors import ConfigurationError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Parse: TypeAlias = Callable[[str], Any]

SECRET_LENGTH_MIN: Final = 32
STRIPE_API: Final = "https://api.stripe.com"
RAZORPAY_API: Final = "https://api.razorpay.com"
SANDBOX_HOST: Final = "127.0.0.1"
"""The sandbox is reached from this machine only, whatever HOST is."""

_WORDS_OF_DEFAULTS: Final = (
    "changeme", "change-me", "change_me", "example", "your-", "your_", "password", "default", "insecure",
    "development", "placeholder", "supersecret", "super-secret", "super_secret", "0123456789", "abcdefgh",
)  # fmt: skip
_DISTINCT_CHARACTERS_MIN: Final = 10
_DURATION_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


# ------------------------------------------------------------------------------------------ parsing of single values
# Each parser raises ValueError with the rest of the sentence "NAME …".


def _choice(*allowed: str) -> Parse:
    def parse(raw: str) -> str:
        if raw.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw.lower()

    return parse


def _whole(low: int, high: int) -> Parse:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


def _seconds(low: float, high: float) -> Parse:
    def parse(raw: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", raw) or not low <= float(raw) <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return float(raw)

    return parse


def _duration_s(low_s: int, high_s: int) -> Parse:
    def parse(raw: str) -> int:
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", raw.lower())
        if match is None:
            raise ValueError('must be seconds or a duration such as "12h" or "7d"')
        value_s = int(match[1]) * _DURATION_UNITS_S[match[2]]
        if not low_s <= value_s <= high_s:
            raise ValueError(f"must be from {low_s} to {high_s} seconds")
        return value_s

    return parse


def _flag(raw: str) -> bool:
    if raw.lower() in {"true", "1", "yes", "on"}:
        return True
    if raw.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError("must be true or false")


def _text(raw: str) -> str:
    return raw


def _dsn(raw: str) -> str:
    if not raw.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a connection string like postgresql://user:password@host:5432/database")
    return raw


def _host(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", raw):
        raise ValueError("must be a host name or an address")
    return raw


def _address(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5}", raw):
        raise ValueError("must be host:port")
    return raw


def _url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be a URL like https://pay.example.com, with no query, fragment or user")
    return raw.rstrip("/")


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/").lower() for part in raw.split(",") if part.strip())
    for origin in origins:
        if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", origin):
            raise ValueError("must be a comma-separated list of origins like https://app.example.com; no wildcard")
    return origins


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be a comma-separated list of networks like 10.0.0.0/8") from None


def _secret_list(count_max: int) -> Parse:
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


def _setting(name: str, parse: Parse, default: object, *, secret: bool = False) -> Any:
    """A field read from variable ``name``; an unset or blank variable means ``default``."""
    return dataclasses.field(default=default, repr=not secret, metadata={"name": name, "parse": parse})


# ---------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a process can be told from outside. Secrets are kept out of ``repr``.

    Make it with :meth:`from_env`; that raises :class:`ConfigurationError` with one line naming the variable.
    """

    environment: Literal["development", "production"] = _setting(
        "PAYLOOPS_ENV", _choice("development", "production"), "development"
    )
    data_dir: Path = _setting("PAYLOOPS_DATA", Path, Path(".payloops"))  # noqa: RUF009 - a field(), as the others
    """Embedded Postgres and the development secrets live here."""

    host: str = _setting("HOST", _host, "127.0.0.1")
    port: int = _setting("PORT", _whole(1, 65535), 3000)
    api_workers: int = _setting("API_WORKERS", _whole(1, 64), 1)
    """API processes that share the port."""
    public_url: str = _setting("PUBLIC_URL", _url, "")
    """How processors and customers reach this service; no trailing slash. Default: http://HOST:PORT."""
    checkout_base_url: str = _setting("CHECKOUT_BASE_URL", _url, "")
    """Base of the hosted checkout pages; no trailing slash. Default: PUBLIC_URL."""
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", _origins, ())
    trusted_proxies: tuple[Network, ...] = _setting("TRUSTED_PROXIES", _networks, ())
    """Peers whose X-Forwarded-For is believed."""

    database_url: str = _setting("DATABASE_URL", _dsn, "", secret=True)
    """The application's role. Empty in development: embedded Postgres."""
    migration_database_url: str = _setting("MIGRATION_DATABASE_URL", _dsn, "", secret=True)
    """The role that owns the schema. Default: DATABASE_URL."""
    db_pool_max: int = _setting("DB_POOL_MAX", _whole(2, 200), 10)
    """Connections of one process."""

    jwt_secret: str = _setting("JWT_SECRET", _secret_list(2), "", secret=True)
    """"new" or "new,old"; each at least 32 characters."""
    jwt_expires_in_s: int = _setting("JWT_EXPIRES_IN", _duration_s(60, 90 * 86400), 7 * 86400)
    encryption_key: str = _setting("ENCRYPTION_KEY", _secret_list(8), "", secret=True)
    """"new" or "new,old,…"; each at least 32 characters; the first one seals."""

    workflow_engine: Literal["embedded", "temporal"] = _setting(
        "WORKFLOW_ENGINE", _choice("embedded", "temporal"), "embedded"
    )
    """Default: temporal as soon as TEMPORAL_ADDRESS is set, else embedded."""
    temporal_address: str = _setting("TEMPORAL_ADDRESS", _address, "")
    temporal_namespace: str = _setting("TEMPORAL_NAMESPACE", _text, "loop")
    temporal_tls: bool = _setting("TEMPORAL_TLS", _flag, default=False)
    temporal_api_key: str = _setting("TEMPORAL_API_KEY", _text, "", secret=True)

    sandbox_port: int = _setting("SANDBOX_PORT", _whole(1, 65534), 3001)
    """The Stripe simulator; Razorpay's is on the next port. Development only."""
    stripe_api_base: str = _setting("STRIPE_API_BASE", _url, "")
    razorpay_api_base: str = _setting("RAZORPAY_API_BASE", _url, "")
    processor_timeout_s: float = _setting("PROCESSOR_TIMEOUT_S", _seconds(0.1, 30), 20.0)
    """One ask of a processor, whatever it takes."""
    pay_wait_s: float = _setting("PAY_WAIT_S", _seconds(0, 30), 3.0)
    """How long pay and refund wait for an outcome without a Prefer header."""

    webhook_allow_loopback: bool = _setting("WEBHOOK_ALLOW_LOOPBACK", _flag, default=True)
    """Outbound webhooks may go to loopback; refused in production."""
    append_queue_max: int = _setting("APPEND_QUEUE_MAX", _whole(1, 1_000_000), 4096)
    """Commands that may wait for a commit in one process; more is answered 503."""
    relay_concurrency: int = _setting("RELAY_CONCURRENCY", _whole(1, 4096), 64)
    """Effects that one relay dispatches at once."""
    outbox_lease_s: float = _setting("OUTBOX_LEASE_S", _seconds(1, 3600), 10.0)

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "LOG_LEVEL", _choice("debug", "info", "warning", "error"), "info"
    )
    log_format: Literal["auto", "json", "console"] = _setting("LOG_FORMAT", _choice("auto", "json", "console"), "auto")
    """auto: console on a terminal, else json."""
    otel_endpoint: str = _setting("OTEL_EXPORTER_OTLP_ENDPOINT", _url, "")
    """Traces and metrics go there over OTLP/HTTP; empty: nowhere."""
    otel_service_name: str = _setting("OTEL_SERVICE_NAME", _text, "loop-backend")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from variables; unknown variables are ignored.

        :raises ConfigurationError: a variable can't be used, or production lacks one or forbids one.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            name = field.metadata["name"]
            raw = environ.get(name, "").strip()
            if not raw:
                continue
            try:
                values[field.name] = field.metadata["parse"](raw)
            except ValueError as problem:
                raise ConfigurationError(f"{name} {problem}", param=name) from None
        settings = cls(**_with_derived_defaults(values))
        settings._check()
        return settings

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """The names of all variables that :meth:`from_env` reads."""
        return tuple(field.metadata["name"] for field in dataclasses.fields(cls))

    @property
    def production(self) -> bool:
        """Whether PAYLOOPS_ENV is production."""
        return self.environment == "production"

    @property
    def base_url(self) -> str:
        """Where this machine reaches the API: a wildcard HOST is answered on loopback."""
        return http_url(self.host, self.port)

    def with_secrets(self) -> Settings:
        """These settings with both secrets present; in development missing ones are made and kept in PAYLOOPS_DATA.

        :raises ConfigurationError: the file of development secrets is damaged or can't be written.
        """
        if self.jwt_secret and self.encryption_key:
            return self
        made = development_secrets(self.data_dir)
        return dataclasses.replace(
            self,
            jwt_secret=self.jwt_secret or made["JWT_SECRET"],
            encryption_key=self.encryption_key or made["ENCRYPTION_KEY"],
        )

    def with_database(self, application_dsn: str, owner_dsn: str) -> Settings:
        """These settings on another database (embedded Postgres, a test's)."""
        return dataclasses.replace(self, database_url=application_dsn, migration_database_url=owner_dsn)

    def to_env(self) -> dict[str, str]:
        """The variables that make these settings, for a child process. Holds secrets."""
        return {
            field.metadata["name"]: _as_text(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    def _check(self) -> None:
        if self.workflow_engine == "temporal" and not self.temporal_address:
            raise _refusal("TEMPORAL_ADDRESS", "is needed by WORKFLOW_ENGINE=temporal; set it to host:port")
        if self.production:
            self._check_production()
        elif self.port in {self.sandbox_port, self.sandbox_port + 1}:
            raise _refusal("SANDBOX_PORT", f"and the port after it must differ from PORT ({self.port})")

    def _check_production(self) -> None:
        if not self.database_url:
            raise _refusal("DATABASE_URL", "must be set in production; embedded Postgres is for development only")
        for name, value in (("JWT_SECRET", self.jwt_secret), ("ENCRYPTION_KEY", self.encryption_key)):
            if not value:
                raise _refusal(name, "must be set in production; make one with: openssl rand -base64 48")
            if any(looks_like_a_default(part) for part in value.split(",")):
                raise _refusal(name, "is a well-known or guessable value; make one with: openssl rand -base64 48")
        if self.jwt_secret.split(",")[0] == self.encryption_key.split(",")[0]:
            raise _refusal("ENCRYPTION_KEY", "must differ from JWT_SECRET in production")
        if self.workflow_engine != "temporal":
            raise _refusal("TEMPORAL_ADDRESS", "must be set in production; the embedded engine is for one machine")
        if self.webhook_allow_loopback:
            raise _refusal("WEBHOOK_ALLOW_LOOPBACK", "can't be true in production; remove it")
        for name, url in (("STRIPE_API_BASE", self.stripe_api_base), ("RAZORPAY_API_BASE", self.razorpay_api_base)):
            if not url.startswith("https://"):
                raise _refusal(name, "must be https in production; the sandbox is for development only")


def http_url(host: str, port: int) -> str:
    """The URL by which this machine reaches a server that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    if ":" in reachable and not reachable.startswith("["):
        reachable = f"[{reachable}]"
    return f"http://{reachable}:{port}"


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
        parse = _secret_list(8)
        return {name: parse(made[name]) for name in ("JWT_SECRET", "ENCRYPTION_KEY")}
    except OSError as problem:
        raise _refusal("PAYLOOPS_DATA", f"can't hold the development secrets: {problem.strerror} ({path})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _refusal(
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


def _with_derived_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    plain: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Settings)} | values
    production = plain["environment"] == "production"
    sandbox_port: int = plain["sandbox_port"]
    values.setdefault("public_url", http_url(plain["host"], plain["port"]))
    values.setdefault("checkout_base_url", values["public_url"])
    values.setdefault("migration_database_url", plain["database_url"])
    values.setdefault("workflow_engine", "temporal" if plain["temporal_address"] else "embedded")
    values.setdefault("webhook_allow_loopback", not production)
    values.setdefault("stripe_api_base", STRIPE_API if production else http_url(SANDBOX_HOST, sandbox_port))
    values.setdefault("razorpay_api_base", RAZORPAY_API if production else http_url(SANDBOX_HOST, sandbox_port + 1))
    return values


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _refusal(name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{name} {problem}", param=name)
