from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import make_images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))
