"""Regression: the angle by which scikit-learn's digits were turned.

    python benchmarks/turned_digits.py FOLDER [--epochs 40] [--out FOLDER]

Each of the 1,797 digits is enlarged to 32 x 32 and turned by an angle from -90 to 90 degrees; the digits of the
dataset's own test split are `test`, a fifth of the others is held out as `val`. The metrics of `evaluate` are compared
with scikit-learn's on predictions.csv. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import resnets
from resnets.core import rng
from resnets.modalities.image.datasets.digits import digits
from resnets.training import environment

SETTINGS = ("task=Regress", "label_smoothing=0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the images that are made, the run and its scores")
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loss", choices=["mse", "huber"], default="mse")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    data, run = given.folder / "data", given.folder / f"run-{given.loss}-{given.seed}"
    if not (data / "data.csv").exists():
        make(data)
    if (run / "recipe.json").exists():
        resnets.resume(run)
    else:
        resnets.train(
            "digits",
            *SETTINGS,
            f"task.loss={given.loss}",
            data=str(data / "data.csv"),
            epochs=given.epochs,
            seed=given.seed,
            out=run,
        )
    scores = resnets.evaluate(run, split="test", out=run / "scores")
    theirs = of_scikit_learn(run / "scores" / "predictions.csv")
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "epochs": given.epochs,
        "seed": given.seed,
        "loss": given.loss,
        "metrics": scores.metrics,
        "scikit_learn": theirs,
        "largest_relative_difference": max(abs(scores.metrics[name] / theirs[name] - 1) for name in theirs),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{results['date']}-turned-digits-{given.loss}-{given.seed}.json").write_text(
        json.dumps(results, indent=1) + "\n"
    )
    print(json.dumps(results, indent=1))


def make(folder: Path) -> None:
    """Writes the turned digits and `data.csv`."""
    rows = []
    for split, dataset in (
        ("train", digits(validation=True).splits["train"]),
        ("val", digits(validation=True).splits["val"]),
        ("test", digits().splits["test"]),
    ):
        generator = rng.generator(0, f"turned digits {split}")
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(len(dataset)):
            angle = round(float(generator.uniform(-90, 90)), 2)
            image: Image.Image = dataset.image(number, "L")  # type: ignore[attr-defined]
            turned = image.resize((32, 32), Image.Resampling.BILINEAR).rotate(angle, Image.Resampling.BILINEAR)
            turned.save(folder / split / f"{number:04}.png")
            rows.append((f"{split}/{number:04}.png", angle, split))
    with open(folder / "data.csv.part", "w", newline="") as file:
        csv.writer(file).writerows([("path", "target", "split"), *rows])
    (folder / "data.csv.part").rename(folder / "data.csv")


def of_scikit_learn(predictions: Path) -> dict[str, float]:
    """The metrics by scikit-learn, from the columns of predictions.csv."""
    from sklearn import metrics

    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    target, predicted = (np.array([float(row[name]) for row in rows]) for name in ("target", "predicted"))
    return {
        "mae": float(metrics.mean_absolute_error(target, predicted)),
        "rmse": float(metrics.root_mean_squared_error(target, predicted)),
        "r2": float(metrics.r2_score(target, predicted)),
    }


if __name__ == "__main__":
    main()
