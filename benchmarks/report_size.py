"""The report of 10,000 test images and 300 classes: its bytes, the seconds that it takes, and the peak of memory.

    python benchmarks/report_size.py [FOLDER] [--samples 10000] [--classes 300] [--epochs 6]

Draws JPEG files of stripes whose colour and angle are the class, trains a small network on them for a few epochs, and
in a process of its own evaluates it twice: alone, and with the report and all else that `evaluate --out` writes. What
that takes is the difference. Classes of near colours and angles are taken for each other, as in real data of so many
classes. In FOLDER stay the data, the run and the report; a second call with it draws and trains nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import resnets
from resnets.core import rng
from resnets.training import environment

SIDE = 64  # pixels of an image
ANGLES = 15
TRAINED = 12  # images a class
SPLITS = ("train", "test")
NAMES = ("class {}", "a name that says at length what there is in an image of the class {}", "صنف {}", "<b>{}&amp;")
SETTINGS = (
    "model.depths=[1,1]", "model.widths=[16,32]", "model.stem_width=16", "preprocessing.resize=32",
    "preprocessing.crop=32", "augmentations={}", "batch=64", "optimizer.lr=0.05",
)  # fmt: skip


def draw(label: int, classes: int, number: int, split: str) -> Image.Image:
    """Stripes of about the angle and the colour of the class, in noise."""
    random = rng.generator(0, "report-size", SPLITS.index(split), label, number)
    angle = np.pi * (label % ANGLES + random.normal(0, 0.3)) / ANGLES
    hue = 2 * np.pi * (label // ANGLES + random.normal(0, 0.3)) / max(1, classes // ANGLES)
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.6 + random.uniform(0, 2 * np.pi))
    color = 128 + 90 * np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
    pixels = color + 60 * stripes[..., None] + random.normal(0, 15, (SIDE, SIDE, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_images(root: Path, classes: int, samples: int) -> None:
    """Writes `TRAINED` training images of each class, and `samples` test images."""
    for label in range(classes):
        tested = samples // classes + (label < samples % classes)
        for split, count in zip(SPLITS, (TRAINED, tested), strict=True):
            folder = root / split / NAMES[label % len(NAMES)].format(f"{label:03}")
            folder.mkdir(parents=True)
            for number in range(count):
                draw(label, classes, number, split).save(folder / f"{number}.jpg", quality=80)


def measure(run: Path, data: Path, out: Path) -> dict[str, Any]:
    """The figures of an evaluation, and of a second one that writes its report."""
    started = time.perf_counter()
    resnets.evaluate(run, data=data, split="test", quiet=True)
    evaluated, before = time.perf_counter(), peak()
    accuracy = resnets.evaluate(run, data=data, split="test", out=out, quiet=True).accuracy
    return {
        "accuracy": accuracy,
        "bytes": (out / "report.html").stat().st_size,
        "seconds": {"alone": evaluated - started, "with_report": time.perf_counter() - evaluated},
        "peak_memory_bytes": {"alone": before, "with_report": peak()},
    }


def peak() -> int:
    """The peak of this process's resident memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--samples", type=int, default=10_000, help="test images")
    parser.add_argument("--classes", type=int, default=300)
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        data, run, out = folder / "data", folder / "run", folder / "answers"
        if not data.exists():
            write_images(data, given.classes, given.samples)
        if not (run / "model.safetensors").exists():
            resnets.train("paper/cifar", *SETTINGS, data=data, epochs=given.epochs, seed=0, out=run)
        rounds = []
        for _ in range(given.rounds):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rounds.append(pool.apply(measure, (run, data, out)))
    here = environment.choose("cpu")
    found = {
        "date": datetime.date.today().isoformat(),
        "hardware": here.hardware,
        "torch": here.torch,
        "samples": given.samples,
        "classes": given.classes,
        "rounds": rounds,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{found['date']}-report-size.json").write_text(json.dumps(found, indent=1) + "\n")
    for each in rounds:
        print(
            f"{each['bytes'] / 1e6:.2f} MB; evaluation {each['seconds']['alone']:.1f} s, with the report "
            f"{each['seconds']['with_report']:.1f} s; peak {each['peak_memory_bytes']['alone'] / 2**20:.0f} and "
            f"{each['peak_memory_bytes']['with_report'] / 2**20:.0f} MiB; accuracy {each['accuracy']:.1%}"
        )


if __name__ == "__main__":
    main()
