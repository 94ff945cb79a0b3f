"""Training labels of which a part is wrong: losses made for them, against cross-entropy, on scikit-learn's digits.

    python benchmarks/noisy_labels.py FOLDER [--noise 0.2] [--seeds 0 1 2] [--out FOLDER]

The labels of a part of the training samples are replaced by another class, each of the nine as likely (symmetric
noise). The recipe is `digits`, with each loss; the test labels are as they are, and are scored once, after the last
epoch. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import resnets
from resnets.core import rng
from resnets.modalities.image.datasets.digits import digits
from resnets.training import environment

LOSSES = {
    "cross-entropy": ("label_smoothing=0",),
    "cross-entropy, label smoothing 0.1": ("label_smoothing=0.1",),
    "symmetric cross-entropy": ("label_smoothing=0", "task.loss=SymmetricCrossEntropy"),
    "generalised cross-entropy": ("label_smoothing=0", "task.loss=GeneralizedCrossEntropy"),
}
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the runs")
    parser.add_argument("--noise", type=float, default=0.2, help="share of the training labels that are wrong")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "noise": given.noise,
        "epochs": given.epochs,
        "seeds": given.seeds,
        "accuracy": {},
    }
    train, test = arrays("train"), arrays("test")
    for name, settings in LOSSES.items():
        found = []
        for seed in given.seeds:
            data = {"train": with_noise(train, given.noise, seed), "test": test}
            run = given.folder / f"{name.replace(' ', '-')}-{given.noise:g}-{given.epochs:g}-{seed}"
            if (run / "recipe.json").exists():
                resnets.resume(run, data=data)
            else:
                resnets.train("digits", *settings, data=data, epochs=given.epochs, seed=seed, out=run)
            found.append(resnets.evaluate(run, data=data, split="test").metrics["accuracy"])
        results["accuracy"][name] = found
        deviation = statistics.stdev(found) if len(found) > 1 else 0.0
        print(f"{name:36} {statistics.mean(found):.2%} ± {deviation:.2%}", flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{results['date']}-noisy-labels-{given.noise:g}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")


def arrays(split: Literal["train", "test"]) -> Arrays:
    """Images (N, 8, 8) and labels (N,) of scikit-learn's digits."""
    dataset = digits().splits[split]
    images = [np.asarray(dataset.image(number, "L")) for number in range(len(dataset))]  # type: ignore[attr-defined]
    return np.stack(images), np.asarray(dataset.targets["labels"]).astype(np.int64)


def with_noise(data: Arrays, noise: float, seed: int) -> Arrays:
    """`data` with round(`noise` N) labels replaced by another class."""
    images, labels = data
    generator = rng.generator(seed, "noisy labels")
    chosen = generator.permutation(len(labels))[: round(noise * len(labels))]
    labels = labels.copy()
    labels[chosen] = (labels[chosen] + generator.integers(1, 10, len(chosen))) % 10
    return images, labels


if __name__ == "__main__":
    main()
