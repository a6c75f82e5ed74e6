"""What the documents point at is there: files and folders in code marks, links, headings, make targets, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from payloops.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
)
TOPS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
MADE_AT_RUN_TIME = ("bench/out", "docs/events/*.json")

_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.*-]+(/[\w.*-]*)+|\w[\w-]*\.(py|md|sql|toml|yaml)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(document: str) -> str:
    return _FENCE.sub("", (ROOT / document).read_text("utf-8"))


def named_paths(document: str) -> Iterator[str]:
    """Texts in code marks that are paths of this tree: they begin with a folder of its top, or stand in `docs`."""
    for text in _CODE.findall(prose(document)):
        if _PATH.fullmatch(text) and text.split("/")[0] in TOPS and not text.startswith(MADE_AT_RUN_TIME):
            yield text


def anchors(path: Path) -> set[str]:
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_is_there(document: str) -> None:
    missing = [path for path in named_paths(document) if not (list(ROOT.glob(path)) if "*" in path else there(path))]
    assert missing == []


def there(path: str) -> bool:
    return (ROOT / path).exists()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_links_lead_somewhere(document: str) -> None:
    broken = []
    for link in _LINK.findall(prose(document)):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = ((ROOT / document).parent / target).resolve() if target else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


def test_the_table_of_contributing_names_a_place_in_each_row() -> None:
    rows = [line for line in prose("CONTRIBUTING.md").splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 15
    silent = [
        row for row in rows if not any(text.split("/")[0] in {*TOPS, ".env.example"} for text in _CODE.findall(row))
    ]
    assert silent == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_make_targets_and_commands_are_there(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    called = set(re.findall(r"(?:`|^|PAYLOOPS_DATA=\S+ )make ([a-z]+)", text, re.MULTILINE))
    assert called <= targets
    commands = set(re.findall(r"(?:`|^|-m )payloops ([a-z]+)(?=[` ])", text, re.MULTILINE))
    assert commands <= set(COMMANDS)


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert len(numbers) == len(set(numbers))
