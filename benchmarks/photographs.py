"""What `resnets train` reaches on photographs: fine-tuned, from scratch, in a given time, next to others.

    python benchmarks/photographs.py flowers --flowers FOLDER       fine-tuning, 5 seeds and 5 folds, and a linear probe
    python benchmarks/photographs.py few                            20 images a class, by their names and renamed
    python benchmarks/photographs.py scratch --minutes 30 --seeds 0 1
    python benchmarks/photographs.py peers --minutes 10 --seeds 0 1 [--timm CHECKOUT]
    python benchmarks/photographs.py transfer                       from five classes to five others
    python benchmarks/photographs.py minutes                        what 2, 5 and 20 minutes take
    python benchmarks/photographs.py x-rays                         AUC and sensitivity, pneumonia
    python benchmarks/photographs.py imbalance                      with and without --balance, 100:1
    python benchmarks/photographs.py report

Each runs `resnets` on the command line, in processes of its own. Settings behind `--`, such as `-- --size 128`, follow
each of ours. The data lies in $RESNETS_TEST_DATA (by default ../shared/data), runs in --folder. Results are appended to
--out, a line each, with the date, the command, the commit and the machine: called again, the script goes on with what
is missing, and resumes a run that was stopped. --flowers is 17flowers_traintest of 995114879/17flowers. A peer that is
not installed is left out, which is said.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import photographs_data as data
from photographs_peers import NAMES
from photographs_report import report
from photographs_runs import Lines, busy_half_of_the_time, call, killed_and_resumed, train, what_was_done
from trees import ROOT

Given = argparse.Namespace
SHARED = Path(os.environ.get("RESNETS_TEST_DATA", ROOT.parent / "shared" / "data"))
HERE = Path(__file__).parent


def ours(
    given: Given, lines: Lines, key: str, folder: Path, seed: int, *settings: object, minutes: float | None = None
) -> Path:
    """Trains on `folder` for `minutes`, by default those that are given; returns the run."""
    minutes = given.minutes if minutes is None else minutes
    out = Path(given.folder) / "runs" / key.replace(" ", "-").replace("/", "-of-")
    arguments = ["--data", folder, "--minutes", minutes, "--seed", seed, *settings, *given.settings]
    train(lines, key, out, *arguments, seed=seed, minutes=minutes)
    return out


def probe(given: Given, lines: Lines, key: str, folder: Path, *arguments: object) -> None:
    """Adds what frozen weights reach on `folder`."""
    if key not in lines:
        script(lines, key, "photographs_probe.py", folder, given.weights, *arguments)


def script(lines: Lines, key: str, name: str, *arguments: object) -> None:
    """Adds the JSON that another script prints last."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{key}: {name} failed.\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    lines.add(key, ["python", f"benchmarks/{name}", *arguments], {**found, "seconds": time.monotonic() - began})


def imagenette(given: Given) -> list[data.Sample]:
    return data.samples_of(given.imagenette / "official.csv")


def flowers(given: Given, lines: Lines) -> None:
    weights = ("--weights", given.weights)
    for seed in given.seeds:
        ours(given, lines, f"flowers finetune {seed}", given.flowers, seed, *weights)
    probe(given, lines, "flowers probe", given.flowers)
    for number in range(1, given.folds + 1):
        fold = f"{number}/{given.folds}"
        run = ours(given, lines, f"flowers fold finetune {fold}", given.flowers, 0, *weights, "--fold", fold)
        probe(given, lines, f"flowers fold probe {fold}", given.flowers, "--fold", run / "split.jsonl.gz")


def few(given: Given, lines: Lines) -> None:
    samples = data.few(imagenette(given), given.count)
    for name, each in (("named", samples), ("renamed", data.renamed(samples))):
        folder = data.write(each, given.folder / "data" / f"few-{given.count}-{name}")
        probe(given, lines, f"few {name} probe", folder)
        for seed in given.seeds:
            ours(given, lines, f"few {name} finetune {seed}", folder, seed, "--weights", given.weights)


def scratch(given: Given, lines: Lines) -> None:
    folder = data.write(imagenette(given), given.folder / "data" / "imagenette")
    for seed in given.seeds:
        ours(given, lines, f"scratch {given.minutes:g} min resnets {seed}", folder, seed, "--val-share", 0)


def peers(given: Given, lines: Lines) -> None:
    """Ours and the peers in turn, seed by seed, on the same images and in the same time."""
    folder = data.write(imagenette(given), given.folder / "data" / "imagenette")
    for seed in given.seeds:
        ours(given, lines, f"peers {given.minutes:g} min resnets {seed}", folder, seed, "--val-share", 0)
        for name in given.peers:
            key = f"peers {given.minutes:g} min {name} {seed}"
            if key in lines and "left_out" not in lines.all()[key]:
                continue
            arguments = ["--minutes", given.minutes, "--seed", seed, "--size", given.size]
            timm = ["--timm", given.timm] if given.timm else []
            script(lines, key, "photographs_peers.py", name, folder, *arguments, *timm)


def transfer(given: Given, lines: Lines) -> None:
    """Pre-trained on the first five classes, fine-tuned on a few images of the other five; next to scratch on these."""
    samples = imagenette(given)
    before = data.write(data.of_classes(samples, slice(0, 5)), given.folder / "data" / "first-five")
    after = data.few(data.of_classes(samples, slice(5, 10)), given.count)
    folder = data.write(after, given.folder / "data" / f"last-five-{given.count}")
    whole = ("--val-share", 0)
    for seed in given.seeds:
        key = f"transfer pretrained {seed}"
        first = ours(given, lines, key, before, seed, "photos", *whole, minutes=given.minutes_before)
        ours(given, lines, f"transfer finetune {seed}", folder, seed, "--weights", first, *whole)
        ours(given, lines, f"transfer scratch {seed}", folder, seed, "photos", *whole)


def minutes(given: Given, lines: Lines) -> None:
    """How long runs with a time budget take in all: alone, beside another process, and killed and resumed."""
    folder = data.write(data.few(imagenette(given), 50), given.folder / "data" / "few-50")
    for budget in given.budgets:
        for case in ("alone", "beside", "killed"):
            key = f"minutes {budget:g} {case}"
            if key in lines:
                continue
            out = given.folder / "runs" / f"{key.replace(' ', '-')}-{time.time():.0f}"  # what was stopped says nothing
            arguments = ["--data", folder, "--minutes", budget, *given.settings]
            with busy_half_of_the_time(case == "beside"):
                if case == "killed":
                    seconds = list(killed_and_resumed(out, 60 * budget * 0.4, *arguments))
                else:
                    seconds = [call("train", *arguments, "--out", out, "--json")[1]]
            over = sum(seconds) / (60 * budget) - 1
            found = {**what_was_done(out), "seconds": sum(seconds), "seconds_of_each": seconds, "over": over}
            lines.add(key, ["resnets", "train", *arguments], found)


def x_rays(given: Given, lines: Lines) -> None:
    folder = data.write_x_rays(given.medical, given.folder / "data" / "x-rays")
    weights = ("--weights", given.weights) if given.from_weights else ("photos",)
    for seed in given.seeds:
        key = f"x-rays {'finetune' if given.from_weights else 'scratch'} {seed}"
        run = ours(given, lines, f"{key} run", folder, seed, *weights)
        if key in lines:
            continue
        answers = given.folder / "answers" / key.replace(" ", "-")
        command = ["evaluate", run, "--split", "test", "--out", answers, "--json"]
        found, _ = call(*command)
        with open(answers / "predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        truth = [row["label"] for row in rows]
        confident = [(row["predicted"] == "pneumonia", float(row["confidence"])) for row in rows]
        scores = [probability if is_it else 1 - probability for is_it, probability in confident]
        lines.add(key, ["resnets", *command], {"auc": found["auc"], **of_two_classes(truth, scores), "seed": seed})


def of_two_classes(truth: list[str], scores: list[float], draws: int = 2000) -> dict[str, Any]:
    """By scikit-learn: the AUC with its 95% interval over bootstrap samples, and the sensitivity at 95% specificity."""
    import numpy as np
    from sklearn.metrics import roc_auc_score, roc_curve

    positive, values = np.array([each == "pneumonia" for each in truth]), np.array(scores)
    generator = np.random.default_rng(0)
    areas: list[float] = []
    while len(areas) < draws:
        drawn = generator.integers(len(values), size=len(values))
        if 0 < positive[drawn].sum() < len(drawn):
            areas.append(roc_auc_score(positive[drawn], values[drawn]))
    false, true, _ = roc_curve(positive, values, drop_intermediate=False)
    return {
        "auc_by_scikit_learn": float(roc_auc_score(positive, values)),
        "auc_interval": [float(each) for each in np.quantile(areas, [0.025, 0.975])],
        "sensitivity_at_95_specificity": float(true[false <= 0.05].max()),
    }


def imbalance(given: Given, lines: Lines) -> None:
    folder = data.write(data.long_tailed(imagenette(given)), given.folder / "data" / "long-tailed")
    weights = ("--weights", given.weights) if given.from_weights else ("photos",)
    for seed in given.seeds:
        for flag in ("none", "weights", "sampling"):
            balance = () if flag == "none" else ("--balance", flag)
            ours(given, lines, f"imbalance {flag} {seed}", folder, seed, *weights, *balance, "--val-share", 0)


EXPERIMENTS: dict[str, Callable[[Given, Lines], None]] = {
    "flowers": flowers, "few": few, "scratch": scratch, "peers": peers, "transfer": transfer, "minutes": minutes,
    "x-rays": x_rays, "imbalance": imbalance,
}  # fmt: skip
SEEDS = {"scratch": 2, "peers": 2, "transfer": 3, "imbalance": 3}  # by default 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "report"])
    parser.add_argument("--flowers", type=Path)
    parser.add_argument("--imagenette", type=Path, default=SHARED / "imagenette")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights" / "imagenet_resnet18.safetensors")
    parser.add_argument("--medical", type=Path, default=SHARED / "medical" / "pneumoniamnist.npz")
    parser.add_argument("--minutes", type=float, default=10, help="of each run")
    parser.add_argument("--minutes-before", type=float, help="of the pre-training of `transfer`; by default --minutes")
    parser.add_argument("--budgets", type=float, nargs="+", default=[2, 5, 20], help="of `minutes`")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--count", type=int, default=data.FEW, help="images a class, where they are few")
    parser.add_argument("--size", type=int, default=128, help="of the peers' images, in pixels")
    parser.add_argument("--peers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--timm", type=Path, help="a checkout of pytorch-image-models, for its train.py")
    parser.add_argument("--from-weights", action="store_true", help="x-rays and imbalance: fine-tune")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "photographs", help="of data and runs")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "photographs.jsonl")
    own = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    given = parser.parse_args(own)
    given.settings = sys.argv[len(own) + 2 :]
    lines = Lines(given.out)
    if given.experiment == "report":
        print(report(lines.all()))
        return
    if given.experiment == "flowers" and given.flowers is None:
        parser.error("flowers needs --flowers FOLDER.")
    given.seeds = given.seeds or list(range(SEEDS.get(given.experiment, 5)))
    given.folder = given.folder.resolve()
    EXPERIMENTS[given.experiment](given, lines)
    print(report(lines.all()))


if __name__ == "__main__":
    main()
