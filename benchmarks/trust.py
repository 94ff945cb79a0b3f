"""Whether a model and its labels can be trusted: wrong labels, answers that are withheld, where a class is seen.

    python benchmarks/trust.py labels [--answers probe | finetune | scratch] [--seeds 0 1 2]
    python benchmarks/trust.py thresholds --flowers FOLDER [--cases "flowers finetune"] [--seeds 0 1 2 3 4]
    python benchmarks/trust.py pointing
    python benchmarks/trust.py report

labels      5% of imagenette's 9,469 training labels are planted wrong. `train --fold all` and `evaluate` rank all
            samples by answers of models that did not see them; `check --relabel` follows wrong_labels.csv, unread. Then
            `photos` at 128 px trains on the planted and on the corrected labels, --epochs each, in pairs of one seed.
            The answers are those of a linear probe of --weights at 128 px, of `finetune` or of `photos` from scratch
            (--minutes a fold). ImageNet's weights were trained on these images with their right labels: others may
            find less. --seeds without a number: the ranking alone.
thresholds  `train --accuracy 0.99`, with a fifth of the training images as val: accuracy and coverage of the answers on
            test, and the share of photographs of other classes that `predict` leaves unanswered. ImageNet's weights
            have seen val of imagenette, and not its test.
pointing    the pointing game of Grad-CAM on the boxes of five classes of Tiny ImageNet, ImageNet's head as it is.

`labels` and `thresholds` are for two idle cores: --seeds times twice 10 minutes after the folds of `labels`, --minutes
for each run of `thresholds`. For a machine that is busy, a fixed length: --minutes 1000 -- --epochs 5.

Runs, data and results are kept as those of `photographs.py`, whose docstring says how, with the same variables.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import photographs_data as data
import trust_labels
import trust_pointing
from photographs_report import report
from photographs_runs import OF_THRESHOLDS, Lines, call, train
from trees import ROOT

Given = argparse.Namespace
SHARED = Path(os.environ.get("RESNETS_TEST_DATA", ROOT.parent / "shared" / "data"))
HERE = Path(__file__).parent
SCRATCH = ("photos", "--size", 128, "augmentations.progressive_resize.start=96")
ANSWERS = ("probe", "finetune", "scratch")
CASES = ("flowers finetune", "imagenette finetune", "imagenette scratch")
ACCURACY = 0.99  # that is wanted on val
FLOWERS = {"n11939491"}  # classes of ImageNet that are among 17flowers': daisy

METRICS = ("accuracy", "found", *OF_THRESHOLDS, "unanswered", "hit", "center")
PAIRS = tuple((f"labels corrected by {answers}", "labels planted", "accuracy") for answers in ANSWERS)


def imagenette(given: Given) -> list[data.Sample]:
    samples = data.samples_of(given.imagenette / "official.csv")
    return samples if given.count is None else data.few(samples, given.count)


def labels(given: Given, lines: Lines) -> None:
    samples = imagenette(given)
    test = [each for each in samples if each.split == "test"]
    truth = {each.path.name: each.label for each in samples}
    place = given.folder / "data"
    planted = data.write(trust_labels.plant([each for each in samples if each.split == "train"]), place / "planted")
    answers = given.folder / "answers" / f"labels-{given.answers}"
    rank(given, lines, planted, answers, truth)
    if not given.seeds:
        return
    corrected = place / f"corrected-by-{given.answers}"
    if not corrected.exists():
        call("check", planted, "--relabel", answers / "wrong_labels.csv", "--out", corrected, "--fast", "--json")
    for seed in given.seeds:
        for name, source in (("planted", planted), (f"corrected by {given.answers}", corrected)):
            folder = data.write([*data.samples_of(source), *test], place / f"{source.name}-and-test")
            key = f"labels {name} {seed}"
            length = ("--val-share", 0, "--epochs", given.epochs, "--seed", seed)
            train(lines, key, run_of(given, key), *SCRATCH, "--data", folder, *length, *given.settings, seed=seed)


def rank(given: Given, lines: Lines, planted: Path, answers: Path, truth: dict[str, str]) -> None:
    """Trains all folds, or goes on with them, evaluates them into `answers`, and adds what is found."""
    key = f"labels ranking {given.answers}"
    if key in lines:
        return
    folds = run_of(given, key)
    folded = ("--data", planted, "--fold", "all", "--val-share", 0)
    command = ["train", *how_to_answer(given), *folded, "--seed", 0, *given.settings]
    began = time.monotonic()
    call(*(("resume", folds) if (folds / "folds.json").exists() else (*command, "--out", folds)), "--json")
    call("evaluate", folds, "--out", answers, "--json")
    seconds = time.monotonic() - began
    lines.add(key, ["resnets", *command], {**trust_labels.found(answers, truth), "seconds": seconds})


def how_to_answer(given: Given) -> tuple[object, ...]:
    """What follows `train` for the folds."""
    weights = ("finetune", "--weights", given.weights)
    match given.answers:
        case "probe":  # the head is fitted before the one step, of which little comes
            return (*weights, "--size", 128, "fine_tuning.freeze=5", "steps=1", "tta=center")
        case "finetune":
            return (*weights, "--minutes", given.minutes)
        case _:
            return (*SCRATCH, "--minutes", given.minutes)


def thresholds(given: Given, lines: Lines) -> None:
    place = given.folder / "data"
    for case in given.cases:
        name, _, how = case.partition(" ")
        if name == "flowers":
            folder, own = given.flowers, FLOWERS
        else:
            samples = imagenette(given)
            folder, own = data.write(samples, place / "imagenette"), {each.label for each in samples}
        photos = [data.Sample(each, each.name.partition("_")[0], "others") for each in sorted(given.photos.iterdir())]
        others = data.write([each for each in photos if each.label not in own], place / f"others-than-{name}")
        settings = ("photos",) if how == "scratch" else ("finetune", "--weights", given.weights)
        for seed in given.seeds:
            key = f"thresholds {case} {seed}"
            run = run_of(given, key)
            wanted = ("--accuracy", ACCURACY, "--val-share", 0.2, "--minutes", given.minutes, "--seed", seed)
            train(lines, key, run, *settings, "--data", folder, *wanted, *given.settings, seed=seed)
            if (key := f"thresholds {case} others {seed}") not in lines:
                command = ["predict", run, others, "--json"]
                unknown = [each["unknown"] for each in call(*command)[0]["predictions"]]
                found = {"unanswered": sum(unknown) / len(unknown), "samples": len(unknown), "seed": seed}
                lines.add(key, ["resnets", *command], found)


def pointing(given: Given, lines: Lines) -> None:
    images = trust_pointing.boxed_images(given.boxes)
    model = trust_pointing.imagenet_model(given.weights, given.folder / "imagenet_resnet18.safetensors")
    for stage in ("C5", "C4"):
        if (key := f"pointing {stage}") not in lines:
            command = ["python", "benchmarks/trust.py", "pointing"]
            lines.add(key, command, trust_pointing.pointing(model, images, stage))


def run_of(given: Given, key: str) -> Path:
    return Path(given.folder / "runs" / key.replace(" ", "-"))


EXPERIMENTS: dict[str, Callable[[Given, Lines], None]] = {
    "labels": labels, "thresholds": thresholds, "pointing": pointing,
}  # fmt: skip
SEEDS = {"labels": 3}  # by default 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "report"])
    parser.add_argument("--flowers", type=Path)
    parser.add_argument("--imagenette", type=Path, default=SHARED / "imagenette")
    parser.add_argument("--photos", type=Path, default=SHARED / "photos", help="photographs of other classes")
    parser.add_argument("--boxes", type=Path, default=SHARED / "localization" / "tiny-imagenet")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / "imagenet_resnet18.safetensors")
    parser.add_argument("--answers", choices=ANSWERS, default="probe", help="by which labels are ranked")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="of `thresholds`")
    parser.add_argument("--minutes", type=float, default=10, help="of each fold, and of each run of `thresholds`")
    parser.add_argument("--epochs", type=float, default=5, help="on planted and on corrected labels")
    parser.add_argument("--seeds", type=int, nargs="*")
    parser.add_argument("--count", type=int, help="training images a class of imagenette (default: all)")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "trust", help="of data and runs")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trust.jsonl")
    own = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    given = parser.parse_args(own)
    given.settings = sys.argv[len(own) + 2 :]
    lines = Lines(given.out)
    if given.experiment == "thresholds" and "flowers finetune" in given.cases and given.flowers is None:
        parser.error("flowers finetune needs --flowers FOLDER.")
    if given.seeds is None:
        given.seeds = list(range(SEEDS.get(given.experiment, 5)))
    given.folder = given.folder.resolve()
    if given.experiment != "report":
        EXPERIMENTS[given.experiment](given, lines)
    print(report(lines.all(), METRICS, PAIRS))


if __name__ == "__main__":
    main()
