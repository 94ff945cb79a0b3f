"""Whatever stands above tasks and modalities asks them through their contracts, never which one they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import resnets
from resnets.core.typed import dataclasses_in
from resnets.modalities.inputs import AnyAugmentations, AnyInput
from resnets.tasks.catalog import SETTINGS

PACKAGE = Path(resnets.__file__).parent
BELOW = ("core", "nn", "models", "modalities", "tasks")
ABOVE = [
    path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in BELOW
]  # fmt: skip
# "image" is left out, since it is also the name of columns and of keys.
NAMES = {name for each in SETTINGS for name in (each.name, each.__name__)} | {"audio"}
CLASSES = {each.__name__ for each in (*SETTINGS, *dataclasses_in(AnyInput), *dataclasses_in(AnyAugmentations))}
RUNTIMES = {"Classification", "Segmentation", "MultiLabelClassification", "Regression"}


def questions_in(source: str) -> Iterator[str]:
    """Each place at which `source` asks which task or modality something is."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            yield from (f"{node.lineno}: {node.func.id} of {name}" for name in _classes(node.args[1]))
        elif isinstance(node, ast.MatchClass):
            yield from (f"{node.lineno}: match on {name}" for name in _classes(node.cls))
        elif isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                yield from (f"{node.lineno}: comparison with {name!r}" for name in _texts(side))
                yield from (f"{node.lineno}: comparison with {name}" for name in _classes(side))
        elif isinstance(node, ast.MatchValue):
            yield from (f"{node.lineno}: match on {name!r}" for name in _texts(node.value))


def _classes(node: ast.expr) -> Iterator[str]:
    for each in ast.walk(node):
        name = each.id if isinstance(each, ast.Name) else each.attr if isinstance(each, ast.Attribute) else ""
        if name in CLASSES | RUNTIMES:
            yield name


def _texts(node: ast.expr) -> Iterator[str]:
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    for each in parts:
        if isinstance(each, ast.Constant) and each.value in NAMES:
            yield each.value


@pytest.mark.parametrize("path", ABOVE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_above_asks_which_task_or_modality_it_has(path: Path) -> None:
    assert list(questions_in(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(settings, Classify)",
        "isinstance(settings, (int, catalog.Classify))",
        "issubclass(kind, Preprocessing)",
        "type(settings) is Classify",
        "settings.name == 'classification'",
        "'audio' != dataset.modality",
        "dataset.modality in ('audio', 'video')",
        "match settings:\n case Classify(): pass",
        "match settings.name:\n case 'classification': pass",
    ],
)
def test_such_a_question_is_found(source: str) -> None:
    assert list(questions_in(source))


@pytest.mark.parametrize(
    "source", ["settings.fixed", "isinstance(value, int)", "table['classification']", "x == 'val'"]
)
def test_what_is_none_is_not(source: str) -> None:
    assert not list(questions_in(source))
