"""What the loop costs on fast/cifar10, against a bare loop written by hand that does the same step.

    python benchmarks/overhead.py CIFAR_FOLDER [--rounds 15] [--steps 8] [recipe settings, such as batch=250]

Ours is `resnets.training.loop.run` with its counter-based random numbers, its check for non-finite gradients, its
batch-norm statistics in order and its log; only evaluation and checkpoints are left out. The bare loop holds all images
normalised and padded in memory and does none of that. Both run in turn, in one process.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from resnets.evaluation.scoring import Scores
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms.normalize import normalize
from resnets.models.initialize import create
from resnets.recipes.catalog import find
from resnets.tasks.classification.task import Classification
from resnets.training import build, environment, optimizers, prepare
from resnets.training.loop import run
from resnets.training.prepare import PreparedData
from resnets.training.recipe import Recipe
from resnets.training.step import Training
from rounds import allocate_as_runs_do


def ours(recipe: Recipe, data: PreparedData) -> Callable[[], object]:
    task = Classification(label_smoothing=recipe.label_smoothing)
    training = Training(recipe, environment.choose(), task, create(recipe.model), len(data.train))
    batches = build.batches_for(recipe, data, device=training.device)
    training.prepare(batches)
    no_scores = Scores(np.empty(0, np.int64), {}, {}, {})
    return lambda: run(training, batches, lambda: no_scores, lambda event: None)


def bare(recipe: Recipe, data: PreparedData) -> Callable[[], object]:
    here = environment.choose()
    network = create(recipe.model).to(here.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = optimizers.build(recipe.optimizer, network, here.precision)
    finite = torch.zeros((), device=here.device)
    pixels = data.train_scan.prepared
    assert pixels is not None
    assert recipe.steps is not None
    assert isinstance(recipe.preprocessing, Preprocessing)
    steps, size, padding = recipe.steps, recipe.preprocessing.shape()[0], 2
    images = normalize(torch.from_numpy(pixels), recipe.preprocessing)
    padded = F.pad(images, (padding,) * 4, "reflect").permute(0, 2, 3, 1).contiguous().to(here.device)
    labels = torch.from_numpy(data.train.targets["labels"]).to(here.device)

    def loop() -> None:
        order = torch.randperm(len(labels), device=here.device)
        side = torch.arange(size, device=here.device)
        for step in range(steps):
            ids = order[torch.arange(step * recipe.batch, (step + 1) * recipe.batch) % len(order)]
            rows = torch.randint(0, 2 * padding + 1, (len(ids), 1, 1), device=here.device) + side[:, None]
            columns = torch.randint(0, 2 * padding + 1, (len(ids), 1, 1), device=here.device) + side[None, :]
            x = padded[ids[:, None, None], rows, columns].permute(0, 3, 1, 2)
            x = torch.where(torch.rand(len(ids), 1, 1, 1, device=here.device) < 0.5, x.flip(-1), x)
            optimizer.zero_grad()
            with torch.autocast(here.device, torch.bfloat16, enabled=here.precision == "bf16"):
                logits = network(x.contiguous(memory_format=torch.channels_last))
            F.cross_entropy(logits.float(), labels[ids], label_smoothing=recipe.label_smoothing).backward()  # type: ignore[no-untyped-call]
            optimizer.step(recipe.optimizer.lr * (1 - step / steps), finite)
        if here.device != "cpu":
            torch.cuda.synchronize()

    return loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of train/CLASS/* and test/CLASS/*")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=8, help="for each loop in each round")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_intermixed_args()
    recipe = replace(find("fast/cifar10"), data=given.data).with_overrides(given.settings)
    recipe, data = prepare.resolve(recipe.with_length(steps=given.steps))
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    allocate_as_runs_do(environment.choose().device)
    for number in range(given.rounds + 1):  # the first warms up
        for name, loop in (("ours", ours(recipe, data)), ("bare", bare(recipe, data))):
            started = time.perf_counter()
            loop()
            if number:
                seconds[name].append(time.perf_counter() - started)
    overhead = statistics.median(a / b for a, b in zip(seconds["ours"], seconds["bare"], strict=True)) - 1
    here = environment.choose()
    found = {
        "date": datetime.date.today().isoformat(),
        "hardware": here.hardware,
        "torch": here.torch,
        "batch": recipe.batch,
        "steps": given.steps,
        "seconds": seconds,
        "overhead": overhead,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{found['date']}-overhead.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"{overhead:+.1%} against the bare loop, batch {recipe.batch}, {given.rounds} rounds, on {here.hardware}")


if __name__ == "__main__":
    main()
