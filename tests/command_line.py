"""A command as a person types it, in this process; and a small folder of images to try it on."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.cli import main

COLORS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (210, 40, 50)}
TINY = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "preprocessing.resize=16",
        "preprocessing.crop=16", "batch=8", "evaluate_every=1000"]  # fmt: skip


@dataclass
class Result:
    """Exit code, standard output and standard error of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output: ASCII, on one line, without NaN."""
        assert self.out.isascii()
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=pytest.fail)  # type: ignore[no-any-return]


def call(*argv: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(each) for each in argv])
    return Result(code, out.getvalue(), err.getvalue())


def noisy(color: tuple[int, int, int], number: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    g = np.random.default_rng([number, *color])
    pixels = np.clip(np.array(color) + g.normal(0, 40, (size[1], size[0], 3)), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def write_photos(root: Path, counts: dict[str, int], colors: tuple[str, ...] = tuple(COLORS)) -> Path:
    """Writes `counts[split]` images of each colour into `root/split/colour`; a split called "" is `root` itself."""
    for split, count in counts.items():
        for name in colors:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noisy(COLORS[name], i + 100 * (split != "train")).save(root / split / name / f"{i}.jpg", quality=95)
    return root


def train(folder: Path, out: Path) -> Path:
    """A run that knows the colours in `folder`."""
    assert call("train", "paper/cifar", "--data", folder, "--epochs", 12, "--out", out, *TINY).code == 0
    return out
