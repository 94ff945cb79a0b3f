"""Small runs on real files, for the tests that interrupt them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import resnets
from resnets.cli import main
from tests.forked_ranks import on_ranks

# Everything that draws at random or remembers: crops, mixup, stochastic depth, an average, bf16, evaluations.
SETTINGS = (
    "model.depths=[1,1]",
    "model.widths=[8,16]",
    "model.stem_width=8",
    "model.drop_path=0.3",
    "preprocessing.resize=16",
    "preprocessing.crop=16",
    "batch=12",
    "bn_batch=4",
    "ema=0.9",
    "precision=bf16",
    "evaluate_every=0.5",
    'augmentations={"crop": {"kind": "RandomResizedCrop"}, "transforms": [{"kind": "Flip"}], '
    '"mix": [{"kind": "Mixup"}]}',
)


def make_images(root: Path, train: int = 40, val: int = 11) -> Path:
    """Three classes of noise, each of its own brightness."""
    g = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label in range(3):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = g.integers(0, 255, (20, 24, 3), dtype=np.uint8) // (label + 1)
                Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return root


def arguments(data: Path, out: Path, *more: str, epochs: float = 6) -> list[str]:
    """The command line of such a run, behind `resnets`."""
    return ["train", "paper/cifar", "--data", str(data), "--out", str(out), "--epochs", str(epochs), *SETTINGS, *more]


def start(argv: list[str], ranks: int = 1, torchrun: tuple[str, ...] = (), **env: str) -> subprocess.Popen[str]:
    """`resnets` with `argv` in a process of its own, or in several under torchrun."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", *torchrun] if ranks > 1 or torchrun else []
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "resnets", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def run_resnets(argv: list[str], ranks: int = 1, **env: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `resnets` with `argv` on so many ranks."""
    return on_ranks(ranks, main, argv, **env)


def finish(process: subprocess.Popen[str], timeout: float = 240) -> tuple[int, str, str]:
    """Exit code, output and errors of `process` when it has ended."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def sha_of(run: Path) -> str:
    return str(resnets.describe(run).weights_sha256)


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def curve(run: Path) -> list[tuple[Any, ...]]:
    """All of the log that does not depend on the clock."""
    keys = ("event", "step", "epoch", "loss", "lr", "accuracy", "top5", "samples")
    return [tuple(e.get(k) for k in keys) for e in events(run) if e["event"] in ("step", "evaluation")]


def last_step(events_of: list[Mapping[str, Any]]) -> int:
    return max((e["step"] for e in events_of if e["event"] == "step"), default=0)


def wait_for(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Waits until the log of `run` has `step` or a later one, or `process` has ended."""
    log = run / "log.jsonl"
    while process.poll() is None:
        if log.exists() and any(f'"step": {s},' in log.read_text() for s in range(step, 100)):
            return
        time.sleep(0.01)
