"""The run that nothing interrupts, and one that was cut off."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from resnets.cli import main
from tests.training.cut import cut_after
from tests.training.runs import arguments

EVERY = ("--checkpoint-steps", "5")
SHORT = ("model.depths=[1]", "model.widths=[8]", "precision=fp32")


@pytest.fixture(scope="session")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts: 60 steps."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(data, out, *EVERY)) == 0
    return out


@pytest.fixture(scope="session")
def unfinished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 steps, cut off after 15, with checkpoints of 5, 10 and perhaps 15."""
    out = tmp_path_factory.mktemp("runs") / "cut"
    cut_after(data, out, 15, *SHORT, epochs=2)
    return out


@pytest.fixture
def run(unfinished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "r"))


def content(run: Path) -> dict[str, str]:
    """Every file but the lock, by its hash."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
