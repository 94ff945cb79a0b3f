"""Images and folders for several tests, and the folder of the development data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from resnets.modalities.image.read.pillow import Pixels
from tests.notebook import Display

SHARED = Path(os.environ.get("RESNETS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def shared() -> Path:
    """The development data: $RESNETS_TEST_DATA, by default ../shared/data."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the development data in {SHARED}")
    return SHARED


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    """What a notebook shows, in which the test is."""
    display = Display()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", display)  # type: ignore[arg-type]
    return display


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, channels), or (height, width) for one channel: where a pixel is off, it shows."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def channels_first(array: NDArray[np.uint8]) -> Pixels:
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def write_tree(root: Path, counts: dict[str, int], *, reverse: bool = False) -> Path:
    """Writes `counts[folder]` images, all different, into each folder below `root`."""
    jobs = [(folder, number) for folder, count in counts.items() for number in range(count)]
    for seed, (folder, number) in sorted(enumerate(jobs), reverse=reverse):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20 + 3 * number, 24, seed=seed)).save(root / folder / f"{number}.png")
    return root


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cuts the end off a file, as an interrupted download does."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def break_middle(path: Path) -> Path:
    """Overwrites bytes in the middle of a file, whose header and end stay whole."""
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(40) + content[middle + 40 :])
    return path
