"""A user's program that calls every public function; it is read by type checkers and not run.

`assert_type` holds the exact types, of mypy and of pyright alike.
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import resnets
from resnets.artifacts.explanation import Explanation
from resnets.checks.run import CheckResult
from resnets.commands.describe import Description
from resnets.commands.embed import Embeddings
from resnets.experiments.reproduce import Reproduction
from resnets.training.diagnosis import Diagnosis


def log(event: resnets.Event) -> None:
    if event["event"] == "step":
        print(event["step"], event["loss"])


class History:
    """A subscriber that is an object."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, event: resnets.Event) -> None:
        if event["event"] == "step":
            self.losses.append(event["loss"])


subscriber: resnets.Subscriber = log


def of_recipes_and_specs() -> None:
    assert_type(resnets.__version__, str)
    spec = resnets.Spec(block="bottleneck", depths=(2, 2), widths=(32, 64), classes=5)
    assert_type(spec, resnets.Spec)
    assert_type(spec.stage_channels, dict[str, int])
    assert_type(replace(spec, channels=1), resnets.Spec)
    assert_type(resnets.CATALOG["resnet50"], resnets.Spec)
    assert_type(resnets.list_models(), dict[str, resnets.Spec])
    recipes = resnets.list_recipes()
    assert_type(recipes, dict[str, resnets.Recipe])
    recipe = resnets.large_batch(recipes["digits"], 512)
    assert_type(recipe, resnets.Recipe)
    assert_type(replace(recipe, seed=3), resnets.Recipe)
    assert_type(recipe.batch, int)
    assert_type(resnets.list_experiments(), dict[str, str])
    assert_type(resnets.Preprocessing(resize=36, crop=32).mean, tuple[float, ...])


def of_runs(recipe: resnets.Recipe, history: History) -> resnets.Run:
    run = resnets.train(
        recipe, "batch=64", data=Path("photos"), weights=Path("w.pth"), out=Path("runs/a"), subscribers=(log, history)
    )
    assert_type(run, resnets.Run)
    again = resnets.train(Path("runs/a/recipe.json"), data="digits", model=Path("spec.json"), weights=run, epochs=2)
    assert_type(again, resnets.Run)
    assert_type(resnets.train("digits", tensorboard=True, mlflow=True, wandb=True), resnets.Run)
    assert_type(resnets.train("digits", sweep=("seed=0,1",), jobs=2, cluster="ray"), resnets.Run)
    assert_type(run.folder, Path)
    assert_type(run.model, Path)
    assert_type(run.report, Path)
    assert_type(run.metrics, dict[str, Any])
    assert_type(run.was_finished, bool)
    path: PathLike[str] = run
    print(path)
    assert_type(resnets.resume(run, epochs="+1", subscribers=(subscriber,)), resnets.Run)
    assert_type(resnets.replay(run, step=1), Diagnosis)
    return run


def of_checks(images: NDArray[np.uint8], labels: list[str]) -> None:
    result = resnets.check(Path("photos"), only="truncated,unreadable", strict=True, out="checked")
    assert_type(result, CheckResult)
    assert_type(resnets.check({"train": (images, labels)}, fast=True), CheckResult)
    assert_type(result.failed, bool)
    assert_type([problem.path for problem in result.problems], list[str])


def of_scores(run: resnets.Run) -> None:
    scores = resnets.evaluate(run, resnets.load(run), "model.safetensors", Path("runs/b"), split="val", tta="flip")
    assert_type(resnets.evaluate(run, data=Path("photos")), resnets.Scores)
    assert_type(scores, resnets.Scores)
    assert_type(scores.ids, NDArray[np.int64])
    assert_type(scores.records, dict[str, NDArray[Any]])
    assert_type(scores.metrics, dict[str, Any])
    assert_type(scores.excluded, dict[int, str])
    assert_type(scores.damaged, dict[str, str])
    assert_type(scores.task, str)
    assert_type(scores.data, str | None)
    assert_type(scores.notes, tuple[str, ...])
    assert_type(scores.summary(), dict[str, Any])
    accuracy: float = scores.accuracy
    print(accuracy)


def of_models(run: resnets.Run) -> None:
    model = resnets.load(run, "cpu", runtime="torch", precision="fp32")
    assert_type(model, resnets.Model)
    assert_type(resnets.load("runs/a", torch.device("cuda")), resnets.Model)
    assert_type(model.network, nn.Module)
    assert_type(model.classes, tuple[str, ...])
    assert_type(model.spec, resnets.Spec)
    assert_type(model.device, torch.device)
    assert_type(model.file, Path | None)
    assert_type(model.to("cpu"), resnets.Model)
    assert_type(model.embed(["a.jpg", Path("b.jpg")], workers=2), Tensor)
    assert_type(model.probabilities(["a.jpg"]), Tensor)
    assert_type(model.predict_many(["a.jpg"], top=3), list[Any])
    if isinstance(model.preprocessing, resnets.Preprocessing):
        assert_type(model.preprocessing, resnets.Preprocessing)
    assert_type(resnets.predict(run, "a.jpg", b"bytes", top=3), list[Any])
    assert_type(resnets.predict(model, "photos/*.jpg", out=Path("answers.csv")), list[Any])
    assert_type(resnets.embed(run, "photos", Path("a.jpg"), out="e.npy"), Embeddings)
    assert_type(resnets.embed(model, "a.jpg").values, NDArray[np.float32])
    assert_type(resnets.explain(run, "a.jpg", out=Path("seen"), target="cat"), list[dict[str, Any] | None])
    assert_type(model.explain(["a.jpg"], stage="C4"), list[Explanation])
    assert_type(resnets.similar(run, "a.jpg", data=Path("photos"), top=3), list[dict[str, Any] | None])
    assert_type(resnets.compare(run, model, "runs/b", metric="macro_f1"), dict[str, Any])


def of_networks(run: resnets.Run) -> None:
    network = resnets.create("resnet50", classes=2, weights=run, drop_path=0.1)
    if isinstance(network, resnets.ResNet):
        assert_type(network, resnets.ResNet)
        assert_type(network(torch.zeros(1, 3, 64, 64)), Any)
        assert_type(network.features(torch.zeros(1, 3, 64, 64)), dict[str, Tensor])
    file = resnets.save(network, "model.safetensors", classes=["cat", "dog"], preprocessing=resnets.Preprocessing())
    assert_type(file, Path)
    assert_type(resnets.save(network, file, like=run), Path)
    assert_type(resnets.save(network, file, like=resnets.load(run), classes=("cat", "dog")), Path)
    described = resnets.describe(run, size=(224, 160))
    assert_type(described, Description)
    assert_type(described.parameters, int)
    assert_type(resnets.describe(network.spec).size, int | tuple[int, ...])
    assert_type(resnets.benchmark("resnet18", steps=2), dict[str, Any])
    assert_type(resnets.reproduce("figure6", data="digits", cluster="ray", log=print), Reproduction)


def of_errors() -> None:
    try:
        resnets.load("nowhere")
    except resnets.PredictionError as error:
        assert_type(error.failed[0], resnets.DataError)
    except (resnets.UsageError, resnets.DataError, resnets.FileError, resnets.TrainingError) as error:
        known: resnets.ResnetsError = error
        assert_type(known.exit_code, int)
