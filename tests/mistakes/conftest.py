"""A folder of images, and a run on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import call, write_photos
from tests.mistakes.training import FAST, TWO


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("given") / "photos", {"train": 4, "val": 2}, TWO)


@pytest.fixture(scope="package")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "photos"
    assert call("train", "paper/cifar", "--data", photos, *FAST, "--out", out).code == 0
    return out
