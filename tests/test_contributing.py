"""The tables of CONTRIBUTING.md: every package is listed, and every file that they name exists and has its names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "resnets"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()

QUESTIONS = (  # that the table has to answer; each is a part of a row
    "mixup",
    "confusion matrix",
    "What does a checkpoint hold",
    "stride of a bottleneck",
    "dead rank",
    "`--tta` parsed",
    "recipe of paper/cifar",
    "Add a recipe",
    "Add an augmentation",
    "Add a metric",
    "Rename a setting",
    "batch made",
    "the loss",
    "resumed",
    "old file",
    "report's pages",
    "several crops averaged",
)


def rows_below(heading: str) -> Iterator[list[str]]:
    """The cells of each row of the table in the section called `heading`."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert section is not None, f"CONTRIBUTING.md has no section {heading!r}"
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    for line in lines[2:]:  # after the header and its rule
        yield [cell.strip() for cell in line.strip("|").split("|")]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def place(path: str) -> Path:
    return ROOT / path if path.startswith(("tests/", "docs/")) else PACKAGE / path


def is_defined(name: str, sources: str) -> bool:
    """Whether `name` is a function, a class, a field, a key or a flag there, and not a word of a sentence."""
    return bool(re.search(rf"^\s*(?:(?:def|class) )?{name}\b\s*[:(=\[]|\b{name}\(|\"{name}\"", sources, re.MULTILINE))


ROWS = [*rows_below("Where to look"), *rows_below("How to add or change")]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_row_names_files_that_exist_and_have_the_names(row: list[str]) -> None:
    _, files, names = row
    paths = quoted(files)
    assert paths, "no file in this row"
    missing = [path for path in paths if not place(path).is_file()]
    assert not missing
    sources = "\n".join(place(path).read_text() for path in paths)
    assert not [name for name in quoted(names) if not is_defined(name, sources)]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_questions_are_there(question: str) -> None:
    assert any(question in row[0] for row in ROWS)


def test_every_package_is_listed() -> None:
    listed = [quoted(row[0])[0] for row in rows_below("Packages")]
    assert sorted(listed) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
