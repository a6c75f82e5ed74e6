"""A planted bug that can't be planted any more tests nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.gauntlet.mutants import MUTANTS
from tests.gauntlet.planted import Mutant
from tests.gauntlet.service import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_replaced_stands_in_its_file_once_and_its_tests_exist(mutant: Mutant) -> None:
    text = Path(ROOT, mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    if mutant.file.endswith(".py"):
        ast.parse(text.replace(mutant.old, mutant.new))
    for test in mutant.tests:
        file, _, name = test.partition("::")
        source = Path(ROOT, file).read_text(encoding="utf-8")
        assert name.partition("[")[0].rpartition("::")[2] in source


def test_names_are_of_one_bug_each() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
