"""Small scenes that differ as photographs do: smooth, with other colours in other places; and folders of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import resnets
from resnets.checks.run import CheckResult

CLEAN = {"train/cat": 4, "train/dog": 4, "val/cat": 2, "val/dog": 2}


def scene(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """A scene of its own for each seed."""
    colors = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colors).resize((width, height), Image.Resampling.BICUBIC)


def write_scenes(root: Path, counts: dict[str, int] | None = None) -> Path:
    """Writes `counts[folder]` scenes, all different, below `root`; by default a folder in which nothing is wrong."""
    jobs = [(folder, number) for folder, count in (counts or CLEAN).items() for number in range(count)]
    for seed, (folder, number) in enumerate(jobs):
        (root / folder).mkdir(parents=True, exist_ok=True)
        scene(seed).save(root / folder / f"{number}.jpg", quality=95)
    return root


def problems(result: CheckResult) -> set[tuple[str, str, str]]:
    """Severity, kind and path of each problem."""
    return {(each.severity, each.kind, each.path) for each in result.problems}


def check(root: Path, **options: object) -> set[tuple[str, str, str]]:
    """Severity, kind and path of each problem in the data `root`."""
    return problems(resnets.check(root, **options))  # type: ignore[arg-type]
