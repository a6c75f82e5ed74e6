"""Every message that a client can be told, as it stands in the code: a sentence for people, with nothing of ours."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import payloops
from payloops import errors
from payloops.http import errors as http_errors
from tests.sentences import PLACED, problem_of

ROOT = Path(payloops.__file__).parent
REACHED_BY_HTTP = ("http", "commands", "projections", "crypto", "events", "workflows_bridge/processors")
"""What raises while a request is answered; the rest speaks to operators."""


def error_names() -> frozenset[str]:
    return frozenset(
        name
        for module in (errors, http_errors)
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, errors.PayloopsError)
    ) - {"ConfigurationError"}


ERRORS = error_names()


def told(node: ast.expr) -> str | None:
    """The text of a literal, with PLACED for each value that is put in; None for what is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else PLACED for part in node.values)
    return None


def constructed(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, class and message of each error that is made."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        text = told(node.args[0])
        if name in ERRORS - {"PayloopsError"} and text is not None:
            yield node.lineno, name, text
        elif name in {"refused", "refusal"} or (name == "of" and isinstance(node.args[0], ast.Tuple)):
            for argument in node.args:
                pair = argument.elts if isinstance(argument, ast.Tuple) else node.args
                problem = told(pair[-1])
                if problem is not None:
                    yield node.lineno, name, errors.sentence("field", problem)
                    break


def messages() -> list[tuple[str, str]]:
    found = []
    for folder in REACHED_BY_HTTP:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for line, name, text in constructed(ast.parse(path.read_text("utf-8"))):
                found.append((f"{path.relative_to(ROOT)}:{line} {name}", text))
    return found


MESSAGES = messages()


def test_they_are_found() -> None:
    assert len(MESSAGES) > 130
    assert {name.rpartition(" ")[2] for name, _ in MESSAGES} >= {"InvalidStatus", "NotFound", "refused", "RateLimited"}


@pytest.mark.parametrize(("place", "text"), MESSAGES, ids=[place for place, _ in MESSAGES])
def test_each_is_a_sentence_for_people(place: str, text: str) -> None:
    assert problem_of(text) is None, f"{place}: {text!r} {problem_of(text)}"


@pytest.mark.parametrize(
    "bad",
    (
        *("amount is wrong", "the token is invalid.", "", "Input should be a valid string.", "It holds a NoneType."),
        *("Bad request.", 'SELECT failed: relation "orders" does not exist.', "Got <class 'int'>.", "A KeyError."),
        *("Something is wrong:\nlook.", "psycopg could not connect.", "Value error, it is too long."),
    ),
)
def test_what_is_none_is_seen(bad: str) -> None:
    assert problem_of(bad) is not None


def test_what_is_wrong_with_a_field_names_the_field() -> None:
    """Only what processors report, and the pages for people, speak of fields that nobody who reads it has sent."""
    silent = []
    for folder in REACHED_BY_HTTP:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                text, param = _of_param(node)
                words = re.findall("[a-z]+", param.lower())
                if not all(word[:6] in text.lower().replace("-", "") for word in words):
                    silent.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} {param}: {text}")
    assert silent == []


def _of_param(node: ast.AST) -> tuple[str, str]:
    """The message and the literal ``param=`` of an error that is made here; empty for everything else."""
    if (
        not isinstance(node, ast.Call)
        or not node.args
        or getattr(node.func, "id", "") not in ERRORS - {"AmountMismatch"}
    ):
        return "", ""
    param = next((word.value for word in node.keywords if word.arg == "param"), None)
    text = told(node.args[0])
    return text or "", "" if param is None or text is None else told(param) or ""
