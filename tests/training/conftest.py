from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import make_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"))
