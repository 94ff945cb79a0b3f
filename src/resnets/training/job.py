"""From a recipe to a trained model: opens the data, sets the recipe's open ends, runs the loop, writes the folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.data.batches import Batches, Order
from resnets.data.catalog import open_dataset
from resnets.data.sources import Dataset, Source, Subset
from resnets.data.survey import Survey, normalized, survey
from resnets.errors import DataError
from resnets.evaluation.report import write_report
from resnets.evaluation.score import Scores, score
from resnets.frozen import encode
from resnets.models.initialize import initialize
from resnets.models.resnet import ResNet
from resnets.tasks.classification import Classification
from resnets.training import environment as environments
from resnets.training.environment import Environment
from resnets.training.loop import Training, run
from resnets.training.recipe import Recipe
from resnets.training.run_folder import Event, Listener, Log, RunFolder, write_recipe


@dataclass(frozen=True)
class Data:
    """A dataset that was looked through and found fit for training."""

    train: Source
    test: Source
    train_survey: Survey
    test_survey: Survey
    notes: tuple[str, ...]


def resolve(recipe: Recipe) -> tuple[Recipe, Data]:
    """The recipe with its open ends set by the data (classes, channels, colour, statistics), and the data.

    Raises:
        DataError: the data is missing, or damaged and the recipe does not say to leave that out.
    """
    dataset = open_dataset(recipe.data)
    preprocessing = recipe.preprocessing
    if dataset.color == "L" and preprocessing.color != "L":
        preprocessing = replace(preprocessing, color="L", mean=(0.5,), std=(0.5,), mean_image=None)
    keep = recipe.views.crop is None
    train_survey = survey(dataset.train, preprocessing, keep=keep, statistics=recipe.normalize != "given")
    test_survey = survey(dataset.test, preprocessing, keep=True, statistics=False)
    train, notes = _without_damaged(recipe, dataset, train_survey)
    if test_survey.damaged:
        notes += (f"{len(test_survey.damaged)} test pictures cannot be read and count nowhere: "
                  f"{next(iter(test_survey.damaged.values()))}",)  # fmt: skip
    if len(test_survey.damaged) == len(dataset.test):
        raise DataError(f"No test picture can be read: {next(iter(test_survey.damaged.values()))}")
    if isinstance(train, Subset) and train is not dataset.train and train_survey.pixels is not None:
        train_survey = replace(train_survey, pixels=train_survey.pixels[train.indices])
    preprocessing = normalized(preprocessing, recipe.normalize, train_survey)
    model = replace(recipe.model, classes=len(train.classes), channels=preprocessing.channels)
    resolved = replace(recipe, model=model, preprocessing=preprocessing, normalize="given")
    return resolved, Data(train, dataset.test, train_survey, test_survey, notes)


def _without_damaged(recipe: Recipe, dataset: Dataset, found: Survey) -> tuple[Source, tuple[str, ...]]:
    damaged = found.damaged
    if not damaged:
        return dataset.train, dataset.notes
    listed = "\n  ".join(list(damaged.values())[:5])
    if recipe.damaged == "refuse":
        raise DataError(
            f"{len(damaged)} of {len(dataset.train)} training pictures cannot be read:\n  {listed}\n"
            "Mend or remove them, or train without them: damaged=exclude."
        )
    good = torch.tensor([i for i in range(len(dataset.train)) if i not in damaged]).numpy()
    kept = Subset(dataset.train, good)
    if len(set(kept.labels.tolist())) < len(kept.classes):
        raise DataError(f"Without its damaged pictures the training data lacks a class:\n  {listed}")
    return kept, (*dataset.notes, f"{len(damaged)} training pictures cannot be read and were left out:\n  {listed}")


def train(
    recipe: Recipe,
    folder: RunFolder,
    *,
    device: str = "auto",
    workers: int | None = None,
    listeners: Sequence[Listener] = (),
) -> Scores:
    """Runs `recipe` in `folder`, which is made once the data was found fit; returns the scores of the final weights."""
    started = time.perf_counter()
    environment = environments.choose(device, recipe.precision)
    recipe, data = resolve(recipe)
    write_recipe(folder.recipe, recipe, environment)
    log = Log(folder.log)
    history: list[Event] = []
    told: tuple[Listener, ...] = (log, history.append, *listeners)
    try:
        scores = _train(recipe, environment, data, folder, told, _workers(workers, data), history)
        for listener in told:
            listener({"event": "end", "seconds": time.perf_counter() - started})
    finally:
        log.close()
    return scores


def _workers(asked: int | None, data: Data) -> int:
    """Without a number: none where all pictures are in memory, else two threads."""
    if asked is not None:
        return asked
    return 0 if data.train_survey.pixels is not None else 2


def _train(
    recipe: Recipe,
    environment: Environment,
    data: Data,
    folder: RunFolder,
    listeners: Sequence[Listener],
    workers: int,
    history: list[Event],
) -> Scores:
    task = Classification(label_smoothing=recipe.label_smoothing)
    network = task.build(recipe.model)
    assert isinstance(network, ResNet)
    first = recipe.initialization
    initialize(network, seed=recipe.seed, fan=first.fan, zero_init_last=first.zero_init_last)
    training = Training(recipe, environment, task, network, len(data.train))
    batches = Batches(
        data.train,
        order=Order(len(data.train), recipe.batch, recipe.seed),
        views=recipe.views,
        preprocessing=recipe.preprocessing,
        seed=recipe.seed,
        group=recipe.group or recipe.batch,
        device=training.device,
        workers=workers,
        pixels=data.train_survey.pixels,
    )

    def evaluate() -> Scores:
        return score(
            training.evaluated_network, task, data.test, recipe.preprocessing,
            pixels=None if data.test_survey.damaged else data.test_survey.pixels,
            device=training.device, workers=workers,
        )  # fmt: skip

    start: Event = {
        "event": "start",
        "recipe": recipe.name,
        "steps": training.total_steps,
        "epochs": training.total_steps * recipe.batch / len(data.train),
        "train_samples": len(data.train),
        "test_samples": len(data.test),
        "parameters": sum(p.numel() for p in network.parameters()),
        "environment": encode(environment),
        "notes": list(data.notes),
    }
    for listener in listeners:
        listener(start)
    scores = run(training, batches, evaluate, listeners)
    metrics: dict[str, Any] = scores.summary()
    card = ModelCard(
        spec=recipe.model,
        classes=tuple(data.train.classes),
        preprocessing=recipe.preprocessing,
        recipe=encode(recipe),
        environment=encode(environment),
        metrics=metrics,
    )
    model_file.save(folder.model, training.evaluated_network.state_dict(), card)
    write_report(folder.report, title=recipe.name, scores=scores, source=data.test, card=card, history=history)
    return scores
