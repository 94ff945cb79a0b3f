"""Ranks that are given different flags of evaluate and predict are refused: their answers would be of two models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import resnets
from resnets.cli import main
from tests.forked_ranks import on_ranks
from tests.training.runs import make_images

SMALL = ("model.depths=[1]", "model.widths=[16]", "preprocessing.resize=16", "preprocessing.crop=16", "batch=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    data = make_images(root / "data", train=4, val=2)
    return resnets.train("paper/cifar", *SMALL, data=data, epochs=1, device="cpu", out=root / "run").folder


def with_own_flags(argv: list[str], *flags: tuple[str, ...]) -> int:
    """The command with what this rank alone is given."""
    return main([*argv, *flags[int(os.environ["RANK"])]])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((("--unknown-below", "0.2"), ("--unknown-below", "0.3")), "unknown_below: 0.2 on rank 0; 0.3 on rank 1"),
        (((), ("--tta", "flip")), 'tta: null on rank 0; "flip" on rank 1'),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_flags_that_differ_are_named(
    command: str, flags: tuple[tuple[str, ...], ...], named: str, run: Path, tmp_path: Path
) -> None:
    images = [str(path) for path in sorted((run.parent / "data" / "val").rglob("*.png"))]
    argv = [command, str(run), *(images if command == "predict" else []), "--device", "cpu"]
    code, out, err = on_ranks(2, with_own_flags, argv, *flags)
    assert code == 2
    assert named in err
    assert out == ""


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_the_same_flags_are_taken(command: str, run: Path) -> None:
    images = [str(path) for path in sorted((run.parent / "data" / "val").rglob("*.png"))]
    argv = [command, str(run), *(images if command == "predict" else []), "--device", "cpu", "--unknown-below", "0.9"]
    code, out, _ = on_ranks(2, with_own_flags, argv, (), ())
    assert code == 0
    assert ("coverage" if command == "evaluate" else "unknown") in out
