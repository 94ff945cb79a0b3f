"""The images that the runs of these tests train on; no test changes them in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import make_images


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))
