"""Multi-label classification: which two classes of imagenette an image shows, one on the left and one on the right.

    python benchmarks/two_labels.py IMAGENETTE WEIGHTS FOLDER [--epochs 2] [--images 2000] [--out FOLDER]

IMAGENETTE has `official.csv` (path, label, split); WEIGHTS are an ImageNet ResNet-18, which never saw its test images.
The middle 112 columns of two images of different classes make one of 224 x 224. Those of the test images are halved:
thresholds are chosen on `val`, and all figures are of `test`. The mean average precision of `evaluate` is compared with
scikit-learn's on predictions.csv. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import resnets
from resnets.core import rng
from resnets.training import environment

GOAL = 0.90
SETTINGS = (
    *("preprocessing.resize=224", "preprocessing.crop=224", "augmentations.crop=none"),
    *("augmentations.progressive_resize=none", "tta=center", "label_smoothing=0", "batch=32", "optimizer.lr=0.01"),
    *("task=MultiLabel", "evaluate_every=1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("imagenette", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path, help="of the images that are made, the run and its scores")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    data, run = given.folder / "data", given.folder / "run"
    if not (data / "data.csv").exists():
        make(given.imagenette, data, given.images)
    start, used = time.perf_counter(), cpu_seconds()
    if (run / "recipe.json").exists():
        resnets.resume(run)
    else:
        resnets.train(
            "fast/imagenet",
            *SETTINGS,
            data=str(data / "data.csv"),
            model="resnet18",
            weights=str(given.weights),
            epochs=given.epochs,
            seed=given.seed,
            out=run,
        )
    seconds, used = time.perf_counter() - start, cpu_seconds() - used
    scores = resnets.evaluate(run, split="test", out=given.folder / "scores")
    theirs = of_scikit_learn(given.folder / "scores" / "predictions.csv")
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "images": {"train": given.images, "test": scores.metrics["samples"]},
        "epochs": given.epochs,
        "seed": given.seed,
        "minutes_of_this_call": seconds / 60,
        "processor_minutes_of_this_call": used / 60,
        "metrics": scores.metrics,
        "scikit_learn": theirs,
        "largest_difference": max(
            abs(theirs["map"] - scores.metrics["map"]),
            *(abs(theirs["ap"][name] - each["ap"]) for name, each in scores.metrics["classes"].items()),
        ),
        "reached": scores.metrics["map"] >= GOAL,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{results['date']}-two-labels.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def make(imagenette: Path, folder: Path, images: int) -> None:
    """Writes the images and `data.csv`: `images` of `train`, and one of `val` or `test` for each test image."""
    with open(imagenette / "official.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    test = [row for row in listed if row["split"] == "test"]
    parts = {
        "train": [row for row in listed if row["split"] == "train"],
        "val": test[0::2],
        "test": test[1::2],
    }
    rows = []
    for split, sources in parts.items():
        generator = rng.generator(0, f"two labels {split}")
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(images if split == "train" else len(sources)):
            left = sources[number % len(sources)]
            others = [row for row in sources if row["label"] != left["label"]]
            right = others[int(generator.integers(len(others)))]
            pair = (left, right) if generator.random() < 0.5 else (right, left)
            name = f"{split}/{number:05}.jpg"
            side_by_side(imagenette / pair[0]["path"], imagenette / pair[1]["path"]).save(folder / name, quality=95)
            rows.append((name, ";".join(row["label"] for row in pair), split))
    with open(folder / "data.csv.part", "w", newline="") as file:
        csv.writer(file).writerows([("path", "labels", "split"), *rows])
    (folder / "data.csv.part").rename(folder / "data.csv")


def side_by_side(left: Path, right: Path) -> Image.Image:
    """The middle halves of two images of 224 x 224, side by side."""
    whole = Image.new("RGB", (224, 224))
    for place, path in enumerate((left, right)):
        whole.paste(Image.open(path).convert("RGB").resize((224, 224)).crop((56, 0, 168, 224)), (112 * place, 0))
    return whole


def of_scikit_learn(predictions: Path) -> dict[str, Any]:
    """The average precision of each class by scikit-learn, from the columns of predictions.csv, and the mean."""
    from sklearn.metrics import average_precision_score

    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name.removeprefix("probability ") for name in rows[0] if name.startswith("probability ")]
    ap = {
        name: float(
            average_precision_score(
                [name in row["labels"].split(";") for row in rows], [float(row[f"probability {name}"]) for row in rows]
            )
        )
        for name in names
    }
    return {"map": float(np.mean(list(ap.values()))), "ap": ap}


def cpu_seconds() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
