"""CIFAR-10 in a fixed time: a fast recipe, paper/cifar shortened, and a public speedrun, cifar10-airbench.

    git clone https://github.com/KellerJordan/cifar10-airbench
    python benchmarks/cifar10.py CIFAR_FOLDER cifar10-airbench --minutes 30 --seeds 0 1 2 --out results.json

First the speed of each is measured, in turn, each in its own process. Each then trains for as many epochs as fit into
the time at its median speed, with its schedule stretched or shortened to that, seed by seed, in turn; so other load on
the machine changes the seconds of a run but not its error. The time is that of training steps with their data: setting
up and testing are left out for all. `--out` holds what is finished, with our runs beside it; called again, the script
continues with the rest and resumes a run of ours that was interrupted.

All train on the same images. `--accuracy 94`, the default, compares fast/cifar10 with airbench94_muon; `--accuracy 96`
compares fast/cifar10-96 with airbench96_faster (on the original images; airbench.py lists what is changed in them).
The error of each is that of its own test-time augmentation.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from airbench import TO_94, TO_96, Script
from resnets.core.config import encode
from resnets.experiments.nets import Net
from resnets.experiments.trial import Trial
from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms.resize import prepare
from resnets.models.initialize import create
from resnets.recipes.catalog import find
from resnets.tasks.classification.task import Classification
from resnets.training import build, environment
from resnets.training.prepare import resolve
from resnets.training.recipe import Recipe
from resnets.training.step import Training
from rounds import Contestant, allocate_as_runs_do, compete, remote

CONTESTS = {94: (("fast/cifar10", "paper/cifar"), TO_94), 96: (("fast/cifar10-96", "paper/cifar"), TO_96)}


def recipe_for(name: str, data: str, **changes: Any) -> Recipe:
    """Our recipe `name`, evaluated once, at the end."""
    return replace(find(name), data=data, evaluate_every=1e5, **changes)


def our_steps(name: str, data: str, cuda_graph: bool) -> Callable[[], object]:
    """A function that makes one training step with its data, as a run of the recipe does."""
    recipe, found = resolve(recipe_for(name, data, cuda_graph=cuda_graph))
    here = environment.choose()
    allocate_as_runs_do(here.device)
    training = Training(recipe, here, Classification(), create(recipe.model), len(found.train))
    batches = build.batches_for(recipe, found, device=training.device)
    training.prepare(batches)
    steps = batches.between(0, 10**9)
    return lambda: training.step(next(steps))


def train_ours(name: str, data: str, epochs: float, seed: int, runs: Path, cuda_graph: bool) -> dict[str, float]:
    recipe = recipe_for(name, data, seed=seed, cuda_graph=cuda_graph).with_length(epochs=epochs)
    trial = Trial(Net(name, recipe.model), recipe, runs / f"{name.replace('/', '-')}-{seed}")
    trial.run(lambda event: None)
    return {"error": 100 * (1 - trial.model.card.metrics["accuracy"]), "seconds_in_all": trial.seconds}


def their_steps(script: Script, checkout: Path, images: Path) -> Callable[[], object]:
    """A function that makes one training step with its data, as their script does."""
    steps = script.run(checkout, images, epochs=1e3, seed=0)
    return lambda: next(steps)


def train_theirs(script: Script, checkout: Path, images: Path, epochs: float, seed: int) -> dict[str, float]:
    started = time.perf_counter()
    steps = script.run(checkout, images, epochs, seed)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return {"error": 100 * (1 - end.value), "seconds_in_all": time.perf_counter() - started}


def write_images(data: str, folder: Path) -> int:
    """Writes the images, decoded as ours are, in the format of their loader's cache; returns the number of `train`."""
    recipe, found = resolve(recipe_for("paper/cifar", data))
    for name, dataset in (("train", found.train), ("test", found.test)):
        shown, settings = cast(ImageDataset, dataset), cast(Preprocessing, recipe.preprocessing)
        pixels = [prepare(shown.image(i, "RGB"), settings).transpose(1, 2, 0) for i in range(len(dataset))]
        images = torch.stack([torch.from_numpy(each.copy()) for each in pixels])
        labels = torch.from_numpy(dataset.targets["labels"])
        torch.save({"images": images, "labels": labels, "classes": list(dataset.classes)}, folder / f"{name}.pt")
    return len(found.train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of train/CLASS/* and test/CLASS/*")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--accuracy", type=int, choices=CONTESTS, default=94, help="%% that the fast ones are made for")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="without any: only the speeds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="for each in each round, for the speeds")
    parser.add_argument("--cuda-graph", action="store_true", help="our steps in a CUDA graph")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cifar10.json")
    given = parser.parse_args()
    done: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}

    names, script = CONTESTS[given.accuracy]
    recipes = {name: encode(find(name)) for name in names}
    if done and (done["minutes"], done["recipes"]) != (given.minutes, recipes):
        raise SystemExit(f"{given.out} is of {done['minutes']:g} minutes or of other recipes: give another --out.")

    def keep() -> None:
        given.out.write_text(json.dumps(done, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        samples = write_images(given.data, Path(folder))
        if "speeds" not in done:
            contestants = []
            with contextlib.ExitStack() as stack:
                process = stack.enter_context(remote(their_steps, script, given.checkout, Path(folder)))
                contestants.append(Contestant(script.name, process.clock, script.batch, default=True))
                for name in names:
                    process = stack.enter_context(remote(our_steps, name, given.data, given.cuda_graph))
                    contestants.append(Contestant(name, process.clock, find(name).batch, ours=True))
                speeds = compete("training with its data", contestants, given.rounds, given.seconds)
            here = environment.choose()
            done |= {
                "date": datetime.date.today().isoformat(),
                "hardware": here.hardware,
                "torch": here.torch,
                "minutes": given.minutes,
                "recipes": recipes,
                "speeds": speeds,
                "runs": {},
            }
            done["epochs"] = {
                name: round(60 * given.minutes * speed / samples, 2)
                for name, speed in done["speeds"]["medians"].items()
            }
            keep()
        for seed in given.seeds:
            for name, epochs in done["epochs"].items():
                if f"{name} {seed}" not in done["runs"]:
                    if name == script.name:
                        found = train_theirs(script, given.checkout, Path(folder), epochs, seed)
                    else:
                        runs = given.out.with_suffix(".runs")
                        found = train_ours(name, given.data, epochs, seed, runs, given.cuda_graph)
                    done["runs"][f"{name} {seed}"] = found
                    print(f"{name} seed {seed}, {epochs:.1f} epochs: {found}", file=sys.stderr)
                    keep()
    for name, epochs in done["epochs"].items():
        errors = [run["error"] for key, run in done["runs"].items() if key.rpartition(" ")[0] == name]
        spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
        mean = f"error {statistics.fmean(errors):.2f}%{spread}" if errors else "not trained"
        print(f"{name:16} {epochs:6.1f} epochs   {mean} ({len(errors)} seeds)")


if __name__ == "__main__":
    main()
