"""Localization on Tiny ImageNet: `localization/small` next to the mean box of the training images.

    python benchmarks/localization.py TINY WEIGHTS FOLDER [--classes 20] [--seeds 0] [--out FILE]
    python benchmarks/localization.py TINY --convert FOLDER [--classes 20]

TINY is the data set as it is published: train/ID/ID_boxes.txt and images, val/val_annotations.txt and images. Its first
classes by WordNet id are written to FOLDER/voc in the layout of PASCAL VOC, their 500 training images each and, as
`test`, their 50 images of val. WEIGHTS are an ImageNet ResNet-18, whose training images these are: their class errors
flatter, and those of the boxes do not. The errors of `predict` are computed with NumPy, beside those of `evaluate`;
then with the mean training box, in shares of the image, in place of each box. A run that was stopped goes on. Results
are appended to --out, a line each.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import resnets
from photographs_runs import Lines

Box = tuple[float, float, float, float]
Labelled = dict[str, tuple[Path, str, Box]]  # the file, the class and the box of each image by its name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiny", type=Path)
    parser.add_argument("weights", type=Path, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?", help="of the data, the runs and their answers")
    parser.add_argument("--convert", type=Path, help="write the data in the layout of PASCAL VOC here, and no more")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "localization.jsonl")
    given = parser.parse_args()
    if given.convert is not None:
        convert(given.tiny, given.convert, given.classes)
        return
    if given.folder is None:
        parser.error("give WEIGHTS and FOLDER, or --convert FOLDER.")
    data = given.folder / "voc"
    splits = convert(given.tiny, data, given.classes)
    lines = Lines(given.out)
    for seed in given.seeds:
        key = f"tiny-imagenet {given.classes} classes {seed}"
        if key not in lines:
            found = measure(data, splits, given.weights, given.folder / f"run-{seed}", seed)
            lines.add(key, ["python", "benchmarks/localization.py", *sys.argv[1:]], found)


def measure(data: Path, splits: dict[str, Labelled], weights: Path, run: Path, seed: int) -> dict[str, Any]:
    start = time.perf_counter()
    if (run / "recipe.json").exists():
        resnets.resume(run)
    else:
        resnets.train("localization/small", data=str(data), weights=str(weights), seed=seed, val_share=0, out=run)
    seconds = time.perf_counter() - start
    test = splits["test"]
    answers = resnets.predict(run, [str(data / "JPEGImages" / f"{name}.jpg") for name in test], top=5)
    labels, true = [each[1] for each in test.values()], np.array([each[2] for each in test.values()])
    guesses = [[name for name, _, _ in answer] for answer in answers]
    boxes = np.array([[box for _, _, box in answer] for answer in answers])
    mean = np.mean([shares(*each) for each in splits["train"].values()], 0)
    sides = np.array([size(path) * 2 for path, _, _ in test.values()])
    metrics = resnets.evaluate(run, data=str(data), split="test").metrics
    return {
        "seed": seed,
        "images": {split: len(each) for split, each in splits.items()},
        "training_seconds": seconds,
        "metrics": metrics,
        "top5_localization_error_by_numpy": localization_error(labels, guesses, boxes, true),
        "top5_localization_error_of_mean_box": localization_error(
            labels, guesses, np.repeat((mean * sides)[:, None], 5, 1), true
        ),
    }


def localization_error(
    labels: list[str], guesses: list[list[str]], boxes: NDArray[np.float64], true: NDArray[np.float64]
) -> float:
    """The share of the images of which no guess has the true class and an IoU of 0.5 or more with the true box.

    Args:
        boxes: (N, guesses, 4) of each guess.
        true: (N, 4).
    """
    right = np.array(guesses) == np.array(labels)[:, None]
    low, high = np.maximum(boxes[..., :2], true[:, None, :2]), np.minimum(boxes[..., 2:], true[:, None, 2:])
    both = np.prod(np.maximum(high - low, 0), -1)
    areas, true_areas = (np.prod(each[..., 2:] - each[..., :2], -1) for each in (boxes, true[:, None]))
    return float(1 - (right & (both >= 0.5 * (areas + true_areas - both))).any(1).mean())


def shares(path: Path, label: str, box: Box) -> NDArray[np.float64]:
    return np.asarray(np.array(box) / np.array(size(path) * 2))


def size(path: Path) -> tuple[int, int]:
    """Width and height of an image."""
    with Image.open(path) as image:
        return image.width, image.height


def convert(tiny: Path, out: Path, classes: int) -> dict[str, Labelled]:
    """Writes the first classes by WordNet id in the layout of PASCAL VOC, unless it is there; returns what is in it.

    In the original the last column and row of a box are inside of it; here a box ends behind them.
    """
    ids = sorted(path.name for path in (tiny / "train").iterdir() if path.is_dir())[:classes]
    splits: dict[str, Labelled] = {"train": {}, "test": {}}
    for each in ids:
        for line in (tiny / "train" / each / f"{each}_boxes.txt").read_text().splitlines():
            name, *corners = line.split()
            path = tiny / "train" / each / "images" / name
            if path.exists():  # a part of the set lists all of it
                splits["train"][path.stem] = path, each, behind(corners)
    listed = tiny / "val" / "val_annotations.txt"
    for line in listed.read_text().splitlines() if listed.exists() else ():
        name, label, *corners = line.split()
        path = tiny / "val" / "images" / name
        if label in ids and path.exists():
            splits["test"][path.stem] = path, label, behind(corners)
    if (out / "ImageSets" / "Main" / "train.txt").exists():
        return splits
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for split, images in splits.items():
        for name, (path, label, box) in images.items():
            shutil.copy(path, out / "JPEGImages" / f"{name}.jpg")
            (out / "Annotations" / f"{name}.xml").write_text(xml(name, label, box, size(path)))
        if images:
            (out / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in images))
    return splits


def behind(box: list[str]) -> Box:
    left, top, right, bottom = map(int, box)
    return left, top, right + 1, bottom + 1


def xml(name: str, label: str, box: Box, size: tuple[int, int]) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    sides = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners)
    return (
        f"<annotation><filename>{name}.jpg</filename>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        f"<object><name>{label}</name><bndbox>{sides}</bndbox></object></annotation>\n"
    )


if __name__ == "__main__":
    main()
