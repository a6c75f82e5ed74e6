"""``payloops demo``: every chapter goes as told, and no secret is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from payloops.config import Settings
from tests.databases import TestDatabase
from tests.ports import held_ports

pytestmark = pytest.mark.slow

DEMO_S = 300
CHAPTERS = (
    "A merchant signs up",
    "A payment",
    "A declined payment",
    "A payment with 3-D Secure",
    "Authorize now",
    "A partial refund",
    "A hosted checkout",
    "Our books beside",
)
SECRETS = (
    re.compile(r"whsec_[A-Za-z0-9+/]{8}"),
    re.compile(r"[sr][kz][a-z]*_(test|live)_[A-Za-z0-9]{24}"),
    re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"),
)


def test_the_demo(test_database: TestDatabase, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
    settings = {"PAYLOOPS_DATA": str(tmp_path / "data")}
    settings |= {"DATABASE_URL": test_database.app_dsn, "MIGRATION_DATABASE_URL": test_database.owner_dsn}
    with held_ports(3) as port:
        ran = subprocess.run(
            [sys.executable, "-m", "payloops", "demo"],
            env=kept | settings | {"PORT": str(port), "SANDBOX_PORT": str(port + 1)},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEMO_S,
        )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    places = [ran.stdout.find(f"── {chapter}") for chapter in CHAPTERS]
    assert places == sorted(places)
    assert -1 not in places
    assert "3  checkout.completed         order captured" in ran.stdout
    assert "7 orders, the same amounts on both sides" in ran.stdout
    assert [pattern.pattern for pattern in SECRETS if pattern.search(ran.stdout)] == []
