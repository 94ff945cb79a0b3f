"""A run of 20 steps, which goes on in other places and beyond its end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import resnets
from tests.training.runs import arguments

TINY = ("model.depths=[1]", "model.widths=[8]", "precision=fp32")


def trained(data: Path | str, out: Path | None, *more: str, epochs: float = 2, **options: Any) -> resnets.Run:
    settings = [a for a in arguments(Path("x"), Path("r"), *TINY, *more) if "=" in a]
    return resnets.train("paper/cifar", *settings, data=str(data), out=out, epochs=epochs, **options)


@pytest.fixture(scope="session")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 steps."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    trained(data, out)
    return out


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "finished"))
