"""The guides work as they stand: each block is run, in order, and answers what the document shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import Step, steps
from tests.docs.session import reading
from tests.docs.shown import differences, same_text
from tests.integration.test_up import Up
from tests.ports import held_ports

ROOT = Path(__file__).parents[2]
GUIDES = {
    "README": ("README.md",),
    "api": ("docs/api.md", "docs/webhooks.md", "docs/reading.md", "docs/checkout.md"),
}
"""Documents that are read one after the other, in one shell."""

pytestmark = pytest.mark.slow


def guide(name: str) -> list[Step]:
    return [step for path in GUIDES[name] for step in steps(ROOT / path)]


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_works_as_it_stands(name: str, up: Up, tmp_path: Path) -> None:
    found = guide(name)
    assert found, "a guide without a step"
    with held_ports() as shop:
        replacements = {
            "http://127.0.0.1:3000": up.base_url,
            "http://127.0.0.1:3001": f"http://127.0.0.1:{up.port + 1}",
            "127.0.0.1:8000": f"127.0.0.1:{shop}",
            '"127.0.0.1", 8000': f'"127.0.0.1", {shop}',
            "/dev/tcp/127.0.0.1/8000": f"/dev/tcp/127.0.0.1/{shop}",
        }
        with reading(tmp_path, replacements) as session:
            for step in found:
                session.run(step)


def test_the_guide_shows_what_most_of_its_steps_answer() -> None:
    found = guide("api")
    assert len(found) > 40
    shown = [step for step in found if step.kind]
    assert len(shown) / len(found) > 0.75


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    (
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
        ({"a": 1, "…": "…"}, {"b": 2}, False),
        ({"status": "captured"}, {"status": "failed"}, False),
        ({"id": "0198b8a5-1f60-7cc1-8f6e-0c2f5b1f6e01"}, {"id": "01a22bc5-559e-73d7-905e-9adaf8157347"}, True),
        ({"id": "0198b8a5-1f60-7cc1-8f6e-0c2f5b1f6e01"}, {"id": None}, False),
        ({"at": "2026-01-31T10:00:00.000Z"}, {"at": "2026-11-30T09:24:42.526Z"}, True),
        ({"at": "2026-01-31T10:00:00.000Z"}, {"at": "yesterday"}, False),
        ({"secret": "whsec_…"}, {"secret": "whsec_abc"}, True),
        ({"secret": "whsec_…"}, {"secret": "sk_test_abc"}, False),
        ([{"a": 1}, "…"], [{"a": 1}, {"a": 9}], True),
        ([{"a": 1}], [{"a": 1}, {"a": 9}], False),
        ([], [1], False),
        ({"position": 7}, {"position": 8}, True),
        ({"position": 7}, {"position": None}, False),
    ),
)
def test_what_differs_is_seen(shown: object, found: object, same: bool) -> None:
    assert (not list(differences(shown, found))) is same


def test_texts_alike_but_for_examples() -> None:
    assert same_text("id: 7\ndata: {…}", "id: 7\ndata: {1}")
    assert not same_text("id: 7", "id: 8")


def test_a_step_that_does_not_do_what_it_says_fails(tmp_path: Path) -> None:
    with reading(tmp_path, {}) as session:
        session.run(Step("sets a variable", "A=1\n"))
        session.run(Step("has it still", 'echo "[$A]"\n', "json", "[1]"))
        for bad in (
            Step("another value", 'echo "[$A]" # =$(\n', "json", "[2]"),
            Step("fails", "x=$(false)\n"),
            Step("nobody there", "curl -s -X POST http://127.0.0.1:1/\n"),
        ):
            with pytest.raises(AssertionError, match=bad.name):
                session.run(bad)
        with pytest.raises(AssertionError, match="unset variable"):
            session.run(Step("unset", 'echo "$NOBODY_SET_THIS" # =$(\n'))
