"""Segmentation of CamVid: `segmentation/small` from ImageNet weights, against the mask of the most frequent classes.

    python benchmarks/camvid.py CAMVID WEIGHTS FOLDER [--steps 500] [--minutes 20] [--seed 0] [--out FOLDER]

CAMVID has train/ and trainannot/, val/ and test/ likewise, with labels 0 to 10 and void 11; WEIGHTS are an ImageNet
ResNet-18. The mIoU of `evaluate` on the test images is compared with one line of NumPy on the PNGs that `predict --out`
writes, and with two constant answers: the class that is most frequent at each pixel of the training masks, and the one
that is most frequent in all of them. A run that was stopped goes on; `minutes` is a goal for all calls together.
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import resnets
from resnets.training import environment

VOID, CLASSES, GOAL = 11, 11, 0.20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path, help="of the run and its answers")
    parser.add_argument("--steps", type=int, help="by default the recipe's")
    parser.add_argument("--minutes", type=float, default=20, help="what training may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    run, answers = given.folder / "run", given.folder / "answers"
    start, used = time.perf_counter(), cpu_seconds()
    if (run / "recipe.json").exists():
        resnets.resume(run)
    else:
        length = () if given.steps is None else (f"steps={given.steps}",)
        resnets.train(
            "segmentation/small", f"task.ignore={VOID}", *length,
            data=str(given.camvid), weights=str(given.weights), seed=given.seed, out=run,
        )  # fmt: skip
    seconds, used = time.perf_counter() - start, cpu_seconds() - used
    images = sorted((given.camvid / "test").glob("*.png"))
    resnets.predict(run, *images, out=answers)
    truth = [read(given.camvid / "testannot" / path.name) for path in images]
    training = np.stack([read(path) for path in sorted((given.camvid / "trainannot").glob("*.png"))])
    by_pixel = np.stack([(training == number).sum(0) for number in range(CLASSES)]).argmax(0)
    constant = np.full_like(by_pixel, np.bincount(training[training != VOID]).argmax())
    scores = resnets.evaluate(run, split="test")
    found: dict[str, Any] = {
        "miou": scores.metrics["miou"],
        "miou_by_numpy_from_pngs": mean_iou(truth, [read(answers / path.name) for path in images]),
        "miou_of_most_frequent_by_pixel": mean_iou(truth, [by_pixel] * len(truth)),
        "miou_of_most_frequent": mean_iou(truth, [constant] * len(truth)),
        "miou_flip": resnets.evaluate(run, split="test", tta="flip").metrics["miou"],
        "miou_val": resnets.evaluate(run, split="val").metrics["miou"],
    }
    hours = {"minutes_of_this_call": seconds / 60, "processor_minutes_of_this_call": used / 60}
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "steps": json.loads((run / "recipe.json").read_text())["recipe"]["steps"],
        "seed": given.seed,
        **hours,
        **found,
        "metrics": scores.metrics,
        "reached": found["miou"] >= found["miou_of_most_frequent_by_pixel"] + GOAL and seconds <= 60 * given.minutes,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{results['date']}-camvid-{given.seed}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({**hours, **found, "reached": results["reached"]}, indent=1))


def read(path: Path) -> NDArray[np.int64]:
    return np.asarray(Image.open(path)).astype(np.int64)


def mean_iou(truth: list[NDArray[np.int64]], answers: list[NDArray[np.int64]]) -> float:
    """The mean IoU over the classes that are in `truth` or `answers`, of all pixels that are not void."""
    true, answer = (np.concatenate([each.ravel() for each in masks]) for masks in (truth, answers))
    true, answer = true[true != VOID], answer[true != VOID]
    both = [((true == k) & (answer == k)).sum() for k in range(CLASSES)]
    either = [((true == k) | (answer == k)).sum() for k in range(CLASSES)]
    return float(np.mean([b / e for b, e in zip(both, either, strict=True) if e]))


def cpu_seconds() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
