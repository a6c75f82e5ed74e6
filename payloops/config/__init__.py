"""Settings: one frozen object made from an environment mapping. Nothing is read at import.

Every variable is declared once, on its field; ``.env.example`` is tested against these declarations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from payloops.config import parsing
from payloops.config.development import development_secrets, looks_like_a_default, refusal
from payloops.config.parsing import Network, Parse
from payloops.errors import ConfigurationError

STRIPE_API: Final = "https://api.stripe.com"
RAZORPAY_API: Final = "https://api.razorpay.com"
_REAL_APIS: Final = {"stripe": STRIPE_API, "razorpay": RAZORPAY_API}
STRIPE_JS: Final = "https://js.stripe.com/v3/"
RAZORPAY_JS: Final = "https://checkout.razorpay.com/v1/checkout.js"
SANDBOX_HOST: Final = "127.0.0.1"
"""The sandbox is reached from this machine only, whatever HOST is."""


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
        "PAYLOOPS_ENV", parsing.choice("development", "production"), "development"
    )
    data_dir: Path = _setting("PAYLOOPS_DATA", Path, Path(".payloops"))  # noqa: RUF009 - a field(), as the others
    """Embedded Postgres and the development secrets live here."""

    host: str = _setting("HOST", parsing.host, "127.0.0.1")
    port: int = _setting("PORT", parsing.whole(1, 65535), 3000)
    api_workers: int = _setting("API_WORKERS", parsing.whole(1, 64), 1)
    """API processes that share the port."""
    public_url: str = _setting("PUBLIC_URL", parsing.url, "")
    """How processors and customers reach this service; no trailing slash. Default: http://HOST:PORT."""
    checkout_base_url: str = _setting("CHECKOUT_BASE_URL", parsing.url, "")
    """Base of the hosted checkout pages; no trailing slash. Default: PUBLIC_URL."""
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", parsing.origins, ())
    trusted_proxies: tuple[Network, ...] = _setting("TRUSTED_PROXIES", parsing.networks, ())
    """Peers whose X-Forwarded-For is believed."""

    database_url: str = _setting("DATABASE_URL", parsing.dsn, "", secret=True)
    """The application's role. Empty in development: embedded Postgres."""
    migration_database_url: str = _setting("MIGRATION_DATABASE_URL", parsing.dsn, "", secret=True)
    """The role that owns the schema. Default: DATABASE_URL."""
    db_pool_max: int = _setting("DB_POOL_MAX", parsing.whole(2, 200), 10)
    """Connections of one process."""

    jwt_secret: str = _setting("JWT_SECRET", parsing.secret_list(2), "", secret=True)
    """"new" or "new,old"; each at least 32 characters."""
    jwt_expires_in_s: int = _setting("JWT_EXPIRES_IN", parsing.duration_s(60, 90 * 86400), 7 * 86400)
    encryption_key: str = _setting("ENCRYPTION_KEY", parsing.secret_list(8), "", secret=True)
    """"new" or "new,old,…"; each at least 32 characters; the first one seals."""

    workflow_engine: Literal["embedded", "temporal"] = _setting(
        "WORKFLOW_ENGINE", parsing.choice("embedded", "temporal"), "embedded"
    )
    """Default: temporal as soon as TEMPORAL_ADDRESS is set, else embedded."""
    temporal_address: str = _setting("TEMPORAL_ADDRESS", parsing.address, "")
    """host:port. Empty with the engine temporal, in development only: the dev server that ``up`` runs."""
    temporal_namespace: str = _setting("TEMPORAL_NAMESPACE", parsing.text, "loop")
    temporal_tls: bool = _setting("TEMPORAL_TLS", parsing.flag, default=False)
    temporal_api_key: str = _setting("TEMPORAL_API_KEY", parsing.text, "", secret=True)
    temporal_tls_cert: str = _setting("TEMPORAL_TLS_CERT", parsing.text, "")
    """File of the client's certificate (PEM), for mTLS; TEMPORAL_TLS_KEY is that of its key."""
    temporal_tls_key: str = _setting("TEMPORAL_TLS_KEY", parsing.text, "")
    temporal_tls_ca: str = _setting("TEMPORAL_TLS_CA", parsing.text, "")
    """File of the authority that the server's certificate is checked against (PEM). Default: the system's."""
    worker_queues: tuple[str, ...] = _setting(
        "WORKER_QUEUES", parsing.queues, ("stripe-payments", "razorpay-payments", "backend-operations")
    )
    """Task queues that ``payloops worker`` serves; leave out those that other workers take."""
    worker_concurrency: int = _setting("WORKER_CONCURRENCY", parsing.whole(2, 1000), 64)
    """Activities, and workflow tasks, that a worker does at once on one queue."""
    worker_deployment: str = _setting("WORKER_DEPLOYMENT", parsing.text, "")
    """Name of the worker deployment, for Temporal's worker versioning; with WORKER_BUILD_ID."""
    worker_build_id: str = _setting("WORKER_BUILD_ID", parsing.text, "")
    """Which build the worker is, as histories name it."""

    sandbox_port: int = _setting("SANDBOX_PORT", parsing.whole(1, 65534), 3001)
    """The Stripe simulator; Razorpay's is on the next port. Development only."""
    stripe_api_base: str = _setting("STRIPE_API_BASE", parsing.url, "")
    razorpay_api_base: str = _setting("RAZORPAY_API_BASE", parsing.url, "")
    stripe_js_url: str = _setting("STRIPE_JS_URL", parsing.script_url, "")
    """Stripe's script for browsers, which the hosted checkout loads."""
    razorpay_js_url: str = _setting("RAZORPAY_JS_URL", parsing.script_url, "")
    """Razorpay's, likewise."""
    processor_timeout_s: float = _setting("PROCESSOR_TIMEOUT_S", parsing.seconds(0.1, 30), 20.0)
    """One ask of a processor, whatever it takes."""
    pay_wait_s: float = _setting("PAY_WAIT_S", parsing.seconds(0, 30), 3.0)
    """How long pay and refund wait for an outcome without a Prefer header."""

    webhook_allow_loopback: bool = _setting("WEBHOOK_ALLOW_LOOPBACK", parsing.flag, default=True)
    """Outbound webhooks may go to loopback; refused in production."""
    api_key_requests_per_min: int = _setting("API_KEY_REQUESTS_PER_MIN", parsing.whole(1, 1_000_000_000), 60_000)
    """Requests of one API key that one API process takes, in a burst and then per minute; more is answered 429."""
    api_keys_created_per_min: int = _setting("API_KEYS_CREATED_PER_MIN", parsing.whole(1, 1_000), 120)
    """API keys that one merchant may create or roll in any 60 seconds."""
    webhook_endpoints_created_per_min: int = _setting("WEBHOOK_ENDPOINTS_CREATED_PER_MIN", parsing.whole(1, 1_000), 300)
    """Webhook endpoints that one merchant may create in any 60 seconds."""
    append_queue_max: int = _setting("APPEND_QUEUE_MAX", parsing.whole(1, 1_000_000), 4096)
    """Commands that may wait for a commit in one process; more is answered 503."""
    relay_concurrency: int = _setting("RELAY_CONCURRENCY", parsing.whole(1, 4096), 64)
    """Effects that one relay dispatches at once."""
    outbox_lease_s: float = _setting("OUTBOX_LEASE_S", parsing.seconds(1, 3600), 10.0)

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "LOG_LEVEL", parsing.choice("debug", "info", "warning", "error"), "info"
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "LOG_FORMAT", parsing.choice("auto", "json", "console"), "auto"
    )
    """auto: console on a terminal, else json."""
    otel_endpoint: str = _setting("OTEL_EXPORTER_OTLP_ENDPOINT", parsing.url, "")
    """Traces and metrics go there over OTLP/HTTP; empty: nowhere."""
    otel_service_name: str = _setting("OTEL_SERVICE_NAME", parsing.text, "loop-backend")
    metrics_token: str = _setting("METRICS_TOKEN", parsing.secret_list(1), "", secret=True)
    """The bearer who may read the API's /metrics. Without it: anybody in development, this machine in production."""
    metrics_port: int = _setting("METRICS_PORT", parsing.whole(0, 65535), 0)
    """Where a relay or worker shows its own metrics, on HOST; 0: nowhere."""

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

    def simulated(self, processor: str) -> bool:
        """Whether the simulator stands in for this processor: in development, unless the real one is asked for."""
        base = self.stripe_api_base if processor == "stripe" else self.razorpay_api_base
        return not self.production and base != _REAL_APIS[processor]

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

    def with_temporal(self, address: str) -> Settings:
        """These settings on another Temporal server (the dev server of ``up``, a test's)."""
        return dataclasses.replace(self, workflow_engine="temporal", temporal_address=address)

    def to_env(self) -> dict[str, str]:
        """The variables that make these settings, for a child process. Holds secrets."""
        return {
            field.metadata["name"]: _as_text(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    def _check(self) -> None:
        if bool(self.temporal_tls_cert) != bool(self.temporal_tls_key):
            raise refusal("TEMPORAL_TLS_CERT", "and TEMPORAL_TLS_KEY belong together: set both or neither")
        if self.worker_deployment and not self.worker_build_id:
            raise refusal("WORKER_BUILD_ID", "must be set beside WORKER_DEPLOYMENT")
        if self.production:
            self._check_production()
        elif self.port in {self.sandbox_port, self.sandbox_port + 1}:
            raise refusal("SANDBOX_PORT", f"and the port after it must differ from PORT ({self.port})")

    def _check_production(self) -> None:
        if not self.database_url:
            raise refusal("DATABASE_URL", "must be set in production; embedded Postgres is for development only")
        for name, value in (("JWT_SECRET", self.jwt_secret), ("ENCRYPTION_KEY", self.encryption_key)):
            if not value:
                raise refusal(name, "must be set in production; make one with: openssl rand -base64 48")
            if any(looks_like_a_default(part) for part in value.split(",")):
                raise refusal(name, "is a well-known or guessable value; make one with: openssl rand -base64 48")
        if self.jwt_secret.split(",")[0] == self.encryption_key.split(",")[0]:
            raise refusal("ENCRYPTION_KEY", "must differ from JWT_SECRET in production")
        if self.workflow_engine != "temporal" or not self.temporal_address:
            raise refusal("TEMPORAL_ADDRESS", "must be set in production; the embedded engine is for one machine")
        if self.webhook_allow_loopback:
            raise refusal("WEBHOOK_ALLOW_LOOPBACK", "can't be true in production; remove it")
        for name, url in (("STRIPE_API_BASE", self.stripe_api_base), ("RAZORPAY_API_BASE", self.razorpay_api_base)):
            if not url.startswith("https://"):
                raise refusal(name, "must be https in production; the sandbox is for development only")


def http_url(host: str, port: int) -> str:
    """The URL by which this machine reaches a server that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    if ":" in reachable and not reachable.startswith("["):
        reachable = f"[{reachable}]"
    return f"http://{reachable}:{port}"


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
    simulated = {name: not production and values[f"{name}_api_base"] != real for name, real in _REAL_APIS.items()}
    values.setdefault("stripe_js_url", f"{values['stripe_api_base']}/v3/" if simulated["stripe"] else STRIPE_JS)
    values.setdefault(
        "razorpay_js_url", f"{values['razorpay_api_base']}/v1/checkout.js" if simulated["razorpay"] else RAZORPAY_JS
    )
    return values


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
