"""Our own side of C1 to C5, the loop and start-up: one measurement, in this process, of the `resnets` on the path.

    PYTHONPATH=TREE/src python benchmarks/own_rates.py NAME [--seconds 2] WORK

`against.py` calls it; each tree runs the `own_rates.py` of its own commit. So that trees of different ages can be
compared, the arguments of this script, the names of the rates and the work behind each must never change.
WORK is the folder that `prepare` filled. Prints one JSON object of rates; higher is better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Rates = dict[str, float]
PHOTOS = 64
SIZE = 224


def write_photos(folder: Path, count: int, size: tuple[int, int], ending: str = ".jpg") -> None:
    """Writes `count` images of `size` (width, height), of two classes, with detail at all scales as in photographs."""
    g = np.random.default_rng(0)
    for number in range(count):
        pixels = np.zeros((size[1], size[0], 3), np.float32)
        for side in (4, 16, 64, 256):
            noise = Image.fromarray(g.integers(0, 256, (side, side, 3), np.uint8))
            pixels += np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32)
        path = folder / str(number % 2) / f"{number}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels / 4).astype(np.uint8)).save(path, quality=90)


def prepare(work: Path, model: str, size: int) -> None:
    """Writes images, and a model file of `model` after one training step."""
    import resnets

    for part, photos, small in (("train", PHOTOS, 500), ("val", 4, 20)):
        write_photos(work / "photos" / part, photos, (500, 375))
        write_photos(work / "small" / part, small, (32, 32), ".png")
    settings = (f"preprocessing.resize={round(size / 0.875)}", f"preprocessing.crop={size}", "batch=4", "steps=1")
    resnets.train("paper/cifar", *settings, data=str(work / "photos"), model=model, out=work / "run")
    for precision in ("auto", "int8"):  # exports the graphs, which are kept beside the model file
        _openvino(work / "run" / "model.safetensors", precision, work)


def _openvino(model: Path, precision: str, work: Path) -> Any:
    import resnets

    calibrate = str(work / "photos" / "train") if precision == "int8" else None
    return resnets.load(model, runtime="openvino", precision=precision, calibrate=calibrate)  # type: ignore[arg-type]


def rate(once: Callable[[], object], images: int, seconds: float) -> float:
    """Images a second of `once`: the median over about `seconds`, after two calls to warm up."""
    once()
    started = time.perf_counter()
    once()
    times = max(2, round(seconds / (time.perf_counter() - started)))
    found = []
    for _ in range(times):
        started = time.perf_counter()
        once()
        found.append(time.perf_counter() - started)
    return images / statistics.median(found)


def inference(given: argparse.Namespace) -> Rates:
    """C1 and C2: the network alone, on images that are decoded already."""
    import torch

    import resnets

    found: Rates = {}
    g = torch.Generator().manual_seed(0)
    variants: dict[str, Callable[[], Any]] = {
        "C1 torch fp32": lambda: resnets.load(given.model),
        "C1 folded": lambda: resnets.load(given.model, runtime="folded"),
        "C1 openvino": lambda: _openvino(given.model, "auto", given.work),
        "C2 openvino int8": lambda: _openvino(given.model, "int8", given.work),
    }
    for name, load in variants.items():
        network = load().network
        for batch in (1, 32):
            x = torch.randn(batch, 3, given.size, given.size, generator=g)
            with torch.inference_mode():
                found[f"{name}, batch {batch}"] = rate(partial(network, x), batch, given.seconds)
    return found


def training(given: argparse.Namespace) -> Rates:
    """C3: the loop's step."""
    import resnets

    found: Rates = {}
    for case in given.cases:
        name, _, batch = case.partition(":")
        measured = resnets.benchmark(name, train=True, batch=int(batch), steps=2)["training"]
        steps = 2 + max(1, round(given.seconds * measured["images_per_second"] / int(batch)))
        measured = resnets.benchmark(name, train=True, batch=int(batch), steps=steps)["training"]
        found[f"C3 {case}"] = measured["images_per_second"]
    return found


def loading(given: argparse.Namespace) -> Rates:
    """C4: JPEG files to training batches."""
    import resnets

    tiny = resnets.Spec(block="basic", depths=(1,), widths=(8,), stem_width=8, classes=2)
    data = str(given.work / "photos")
    steps = max(4, round(given.seconds * 800 / 32))
    measured = resnets.benchmark(tiny, size=SIZE, batch=32, steps=steps, data=data, workers=2)["loading"]
    return {"C4 two workers": measured["images_per_second"]}


def predicting(given: argparse.Namespace) -> Rates:
    """C5: JPEG files to the five best classes."""
    paths = sorted((given.work / "photos" / "train").rglob("*.jpg"))
    return {
        f"C5 openvino {precision}": rate(
            partial(_openvino(given.model, precision, given.work).predict_many, paths, 5), len(paths), given.seconds
        )
        for precision in ("auto", "int8")
    }


def overhead(given: argparse.Namespace) -> Rates:
    """The whole training loop: fast/cifar10, whose steps are long, and the digits, whose steps are short."""
    steps = 4 + 2 * round(given.seconds)
    return {
        "loop fast/cifar10": _loop_rate("fast/cifar10", "batch=250", f"steps={steps}", data=given.work / "small"),
        "loop digits": _loop_rate("digits", f"epochs={max(2, round(2 * given.seconds))}"),
    }


def _loop_rate(recipe: str, *settings: str, data: Path | None = None) -> float:
    """Images a second over a run's steps after its first log line, without evaluations."""
    import resnets

    speeds: list[float] = []

    def subscriber(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            speeds.append(event["images_per_second"])

    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        resnets.train(recipe, *settings, data=str(data) if data else None, out=out, subscribers=(subscriber,))
    return statistics.harmonic_mean(speeds[1:] or speeds)


def startup(given: argparse.Namespace) -> Rates:
    """Commands a second from a cold start, each in its own process."""
    (image, *_) = sorted((given.work / "photos" / "val").rglob("*.jpg"))
    stop = "def subscriber(event):\n    if event['event'] == 'step': os._exit(0)\n"
    found: Rates = {}
    with tempfile.TemporaryDirectory() as place:
        first = f"resnets.train('digits', 'steps=1', out={str(Path(place) / 'run')!r}, subscribers=(subscriber,))"
        for name, times, command in (
            ("--help", 5, ["-m", "resnets", "--help"]),
            ("predict", 1, ["-m", "resnets", "predict", str(given.model), str(image)]),
            ("first step of digits", 1, ["-c", f"import os, resnets\n{stop}{first}"]),
        ):
            started = time.perf_counter()
            for _ in range(times):
                subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=120)
            found[f"start-up {name}"] = times / (time.perf_counter() - started)
    return found


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], Rates]] = {
    "inference": inference,
    "training": training,
    "loading": loading,
    "predicting": predicting,
    "overhead": overhead,
    "startup": startup,
}


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Context manager that sends what is printed to standard error: standard output has the answer alone."""
    kept, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["prepare", *MEASUREMENTS])
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="resnet50", help="a model file; for prepare, a name")
    parser.add_argument("--size", type=int, default=SIZE, help="of the images for inference, in pixels")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each rate, roughly")
    parser.add_argument("--cases", nargs="+", default=["resnet18:32", "resnet50:32", "cifar_resnet20:128"])
    given = parser.parse_args()
    with quiet_stdout():
        if given.name == "prepare":
            prepare(given.work, given.model, given.size)
            found: Rates = {}
        else:
            found = MEASUREMENTS[given.name](given)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
