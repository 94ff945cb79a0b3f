"""Tables and their images for the tests of tables."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from resnets.modalities.base import DatasetSplits
from resnets.modalities.tables import open_tables
from tests.conftest import noise


def write_images(root: Path, *names: str) -> Path:
    """Writes an image under each name below `root`, all different."""
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(10, 8, seed=seed)).save(root / name)
    return root


def read(root: Path, text: str | bytes, name: str = "data.csv") -> DatasetSplits:
    """Writes a table of this content and opens it."""
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_tables(path, "csv" if name.endswith(".csv") else "jsonl")
