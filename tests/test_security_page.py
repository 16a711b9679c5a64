"""SECURITY.md names a test for each threat; the test is there."""

from __future__ import annotations

import ast
import re

import pytest

from .serving import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))
ROWS = re.findall(r"^\| (?!Threat |---)(.+) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize("row", ROWS)
def test_each_threat_has_an_answer_and_a_test(row: str) -> None:
    threat, answer, tests = row.split(" | ")
    assert threat
    assert answer
    assert re.fullmatch(r"`[\w/]+\.py::\w+`(, `[\w/]+\.py::\w+`)*", tests)


def test_there_are_threats() -> None:
    assert len(ROWS) > 20
