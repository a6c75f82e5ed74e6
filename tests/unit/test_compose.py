"""compose.yaml, the Dockerfile and what they mount: they refer to what exists, and give no secret away."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from payloops.cli.commands import COMMANDS
from payloops.config import Settings

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[?-])?([^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|KEY|PWD")
OURS = ("migrate", "api", "relay", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """What deploy/make-env prints."""
    return variables_of(make_env("https://pay.example.com").stdout)


def make_env(public_url: str | None) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin"} | ({} if public_url is None else {"PUBLIC_URL": public_url})
    return subprocess.run([ROOT / "deploy" / "make-env"], env=environ, capture_output=True, text=True, timeout=20)


def variables_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def filled(text: str, values: dict[str, str]) -> str:
    """A value as compose sees it."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        return values[name] if kind == ":?" else values.get(name, rest)

    return VARIABLE.sub(value, text)


def environment(compose: dict[str, Any], service: str, values: dict[str, str]) -> dict[str, str]:
    declared: dict[str, str] = compose["services"][service]["environment"]
    return {name: filled(value, values) for name, value in declared.items()}


def test_what_must_be_given_is_what_make_env_gives(made: dict[str, str]) -> None:
    found = VARIABLE.findall((ROOT / "compose.yaml").read_text())
    assert {name for name, kind, _ in found if kind == ":?"} == set(made)
    for name, kind, rest in found:
        assert kind, f"{name} would be empty without a word"
        assert kind == ":?" or not SECRET.search(name), f"{name} has a default"
        assert kind == ":-" or not rest


def test_secrets_are_made_afresh_and_are_good_enough(made: dict[str, str]) -> None:
    again = variables_of(make_env("https://pay.example.com").stdout)
    secrets = [name for name in made if SECRET.search(name)]
    assert len(secrets) == 7
    assert len({*(made[name] for name in secrets), *(again[name] for name in secrets)}) == 14
    # They stand in URLs and in an env file as they are.
    assert all(re.fullmatch(r"[A-Za-z0-9+]{40,}", made[name]) for name in secrets)
    refused = make_env(None)
    assert refused.returncode != 0
    assert refused.stdout == ""


@pytest.mark.parametrize("service", OURS)
def test_our_parts_start_with_these_settings(compose: dict[str, Any], made: dict[str, str], service: str) -> None:
    declared = environment(compose, service, made)
    assert set(declared) <= set(Settings.variables())
    settings = Settings.from_env(declared)
    assert settings.production
    assert settings.workflow_engine == "temporal"
    assert settings.temporal_address == "temporal:7233"
    assert settings.otel_endpoint == "http://otel-collector:4318"
    assert not settings.webhook_allow_loopback
    (command,) = compose["services"][service]["command"]
    assert command in COMMANDS
    # Only the one that migrates knows the owner of the schema.
    assert ("MIGRATION_DATABASE_URL" in declared) == (service == "migrate")


def test_each_secret_goes_only_where_it_is_needed(compose: dict[str, Any]) -> None:
    holders: dict[str, set[str]] = {}
    for name, service in compose["services"].items():
        for value in service.get("environment", {}).values():
            for variable, _, _ in VARIABLE.findall(value):
                holders.setdefault(variable, set()).add(name)
    assert holders["POSTGRES_PASSWORD"] == {"postgres"}
    assert holders["TEMPORAL_DB_PASSWORD"] == {"postgres", "temporal"}
    assert holders["PAYLOOPS_OWNER_PASSWORD"] == {"postgres", "migrate"}
    assert holders["PAYLOOPS_APP_PASSWORD"] == {"postgres", *OURS}
    for variable in ("JWT_SECRET", "ENCRYPTION_KEY"):
        assert holders[variable] == set(OURS)
    assert holders["OPENOBSERVE_PASSWORD"] == {"otel-collector", "openobserve"}


def test_references_hold(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wanted in conditions(service).items():
            assert other in services, f"{name} waits for {other}"
            if wanted == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
            if wanted == "service_completed_successfully":
                assert services[other]["restart"] == "no"
        assert set(service["networks"]) <= set(compose["networks"])
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), f"{name} mounts {source}"
    assert "migrate" in conditions(services["api"])
    assert services["api"]["deploy"]["replicas"] == 2


def conditions(service: dict[str, Any]) -> dict[str, str]:
    declared = service.get("depends_on", {})
    if isinstance(declared, list):
        return dict.fromkeys(declared, "service_started")
    return {name: each["condition"] for name, each in declared.items()}


def test_ports_are_on_loopback_and_images_are_pinned(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api", "temporal-ui", "openobserve"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    for name, service in compose["services"].items():
        image = service["image"]
        assert re.search(r":(v?\d+\.\d|\$\{PAYLOOPS_VERSION)", image), f"{name}: {image}"
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM "):
            assert re.match(r"FROM python:\d+\.\d+\.\d+-", line)


def test_our_containers_can_do_little(compose: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements/base.txt" in dockerfile
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in copied.split():
            assert f"!{path}" in ignored
            assert (ROOT / path).exists()


def test_the_collector_sends_all_that_it_takes(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "deploy" / "otel-collector.yaml").read_text())
    for signal, pipeline in config["service"]["pipelines"].items():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind]), signal
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    assert {"traces", "metrics"} <= set(config["service"]["pipelines"])
    given = set(compose["services"]["otel-collector"]["environment"])
    assert set(re.findall(r"\$\{env:(\w+)\}", (ROOT / "deploy" / "otel-collector.yaml").read_text())) == given


def test_docker_accepts_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    version = subprocess.run([docker, "compose", "version"], capture_output=True, timeout=60) if docker else None
    if docker is None or version is None or version.returncode != 0:
        pytest.skip("there is no docker compose to ask")
    env_file = tmp_path / "compose.env"
    env_file.write_text(make_env("https://pay.example.com").stdout)
    command = [
        docker,
        "compose",
        "--file",
        str(ROOT / "compose.yaml"),
        "--env-file",
        str(env_file),
        "config",
        "--quiet",
    ]
    accepted = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert accepted.returncode == 0, accepted.stderr
