"""A short run by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import TINY, call

TWO = ("blue", "red")
FAST = [*TINY, "epochs=1", "--device", "cpu", "--workers", "1"]


def train(data: object, out: Path, *more: object) -> Any:
    return call("train", "paper/cifar", "--data", data, *FAST, "--out", out, *more)
