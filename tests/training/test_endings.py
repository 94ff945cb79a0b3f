"""Runs that end with a model of no use: it is said in words, the command fails, and everything is kept."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.core.errors import TrainingError
from resnets.recipes.catalog import find
from resnets.training.endings import problem_of, worse_than_probe
from resnets.training.fine_tuning import FineTuning
from tests.command_line import TINY, call, noisy
from tests.training.runs import events, run_resnets

DIVERGED = ("train", "digits", "epochs=none", "steps=30", "optimizer.lr=1000", "nonfinite=skip", "--device", "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that look alike, of which one has most of the images to train on."""
    root = tmp_path_factory.mktemp("photos")
    for split, counts in {"train": (76, 4), "test": (8, 8)}.items():
        for name, count in zip(("cat", "dog"), counts, strict=True):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noisy((120, 90, 60), number + len(name + split) * 100).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose loss is not finite."""
    out = tmp_path_factory.mktemp("diverged") / "r"
    found = call(*DIVERGED, "--out", out)
    assert found.code == 1
    assert "ended as nan" in found.err
    assert "with a lower rate (optimizer.lr=100)" in found.err
    assert "Traceback" not in found.err
    return out


def constant(photos: Path) -> list[object]:
    """The arguments of a run that learns the one class."""
    return [*TINY, "label_smoothing=0", "epochs=4", "--data", photos, "--device", "cpu"]


def test_a_loss_that_ends_not_finite_is_said_and_everything_is_kept(diverged: Path) -> None:
    end = events(diverged)[-1]
    assert end["event"] == "end"
    assert "ended as nan" in end["problem"]
    for name in ("model.safetensors", "report.html", "recipe.json"):
        assert (diverged / name).exists()
    assert "its training diverged" in call("evaluate", diverged, "--device", "cpu").err


def test_json_and_resume_say_it_too(diverged: Path, tmp_path: Path) -> None:
    found = call(*DIVERGED, "--out", tmp_path / "r", "--json")
    assert (found.code, found.json["folder"]) == (1, str(tmp_path / "r"))
    assert "Everything is kept in" in found.json["problem"]
    again = call("resume", diverged)
    assert again.code == 1
    assert "The run was finished already" in again.out
    assert "ended as nan" in again.err
    run = resnets.resume(diverged)
    assert run.was_finished
    assert run.problem is not None


def test_python_gets_an_error_with_the_run(tmp_path: Path) -> None:
    with pytest.raises(resnets.TrainingError, match="ended as nan") as caught:
        resnets.train(
            "digits", "epochs=none", "steps=30", "optimizer.lr=1000", "nonfinite=skip", out=tmp_path / "r", device="cpu"
        )
    assert caught.value.run.folder == tmp_path / "r"
    assert caught.value.run.model.exists()
    assert pickle.loads(pickle.dumps(caught.value)).run.problem == caught.value.run.problem
    assert TrainingError("x").run is None


def test_one_class_for_all_is_said(photos: Path, tmp_path: Path) -> None:
    found = call("train", "digits", *constant(photos), "--out", tmp_path / "r")
    assert found.code == 1, found.out
    assert "The model answers one class alone, 'cat', where test has 2 classes" in found.err
    assert events(tmp_path / "r")[-1]["problem"].startswith("The model answers one class alone")
    assert call("evaluate", tmp_path / "r", "--device", "cpu").code == 0


def test_folds_all_run_and_the_command_fails(photos: Path, tmp_path: Path) -> None:
    found = call("train", "digits", *constant(photos), "--fold", "all/2", "--out", tmp_path / "r", "--json")
    assert found.code == 1
    assert len(found.json["folds"]) == 2
    assert "Fold 1 of 2: The model answers one class alone" in found.json["problem"]
    assert (tmp_path / "r" / "fold-2" / "model.safetensors").exists()


def test_of_two_ranks_both_fail_and_one_says_why(tmp_path: Path) -> None:
    code, out, err = run_resnets([*DIVERGED, "--out", str(tmp_path / "r"), "--json"], ranks=2)
    assert code == 1
    assert "ended as nan" in json.loads(out)["problem"]
    assert err.count("ended as nan") == 1


def scores(label: list[int], predicted: list[int], loss: float = 1.0) -> Any:
    records = {"label": np.array(label), "predicted": np.array(predicted), "loss": np.full(len(label), loss)}
    return SimpleNamespace(split="val", records=records, metrics={"loss": loss}, ids=np.arange(len(label)))


def problem(found: Any, *, steps: int = 200, samples: int = 640, history: Any = ()) -> str | None:
    return problem_of(find("digits"), history, found, ("cat", "dog"), steps=steps, samples=samples)


def test_what_is_a_problem_and_when() -> None:
    mixed, alone = [0, 1] * 10, [1] * 20
    assert problem(scores(mixed, mixed)) is None
    assert "'dog', where val has 2 classes" in str(problem(scores(mixed, alone)))
    assert problem(scores(alone, alone)) is None  # the split has one class
    assert problem(scores(mixed[:8], alone[:8])) is None  # too few to tell
    # An epoch has 10 steps; of larger data a hundred are enough, and fewer than ten never are.
    assert problem(scores(mixed, alone), steps=9) is None
    assert problem(scores(mixed, alone), steps=10) is not None
    assert problem(scores(mixed, alone), steps=99, samples=10**6) is None
    assert problem(scores(mixed, alone), steps=100, samples=10**6) is not None
    assert problem(scores(mixed, alone), steps=5, samples=64) is None
    for loss in (math.nan, math.inf):
        assert f"The loss on val ended as {loss}" in str(problem(scores(mixed, mixed, loss), steps=1))
    steps = [{"event": "step", "step": 1, "loss": 1.0}, {"event": "step", "step": 2, "loss": None}]
    assert "The loss of training ended as infinity or no number at step 2" in str(
        problem(scores(mixed, mixed), history=steps)
    )
    assert problem(scores(mixed, mixed), history=steps[::-1]) is None


def test_a_model_that_is_clearly_worse_than_its_probe_is_named() -> None:
    recipe = find("digits")
    found = scores([0, 1] * 100, [0, 1] * 100)
    found.metrics["accuracy"] = 0.9
    history = [{"event": "probe", "held_out": 400, "accuracy": 0.97}, {"event": "step", "step": 1, "loss": 1.0}]
    said = str(worse_than_probe(recipe, history, found))
    assert "accuracy on val is 90.0%" in said
    assert "97.0% in cross-validation" in said
    assert "fine_tuning.freeze=4" in said
    # Two standard deviations of the difference of 0.97 of 400 and 0.93 of 200 are 0.0398.
    for after, is_named in ((0.9301, True), (0.9303, False), (0.99, False)):
        found.metrics["accuracy"] = after
        expected = 0.97 - after > 2 * math.sqrt(0.97 * 0.03 / 400 + after * (1 - after) / 200)
        assert expected == is_named
        assert (worse_than_probe(recipe, history, found) is not None) == is_named
    found.metrics["accuracy"] = 0.5
    assert worse_than_probe(replace(recipe, fine_tuning=FineTuning(freeze=4)), history, found) is None
    assert worse_than_probe(recipe, [{"event": "probe", "lambda": 1.0}], found) is None  # of 0.2
    assert worse_than_probe(recipe, [history[0] | {"accuracy": None}], found) is None
    assert worse_than_probe(recipe, history[1:], found) is None


def test_a_segmentation_of_one_class_is_found_by_its_pixels() -> None:
    true = np.array([[5, 3], [2, 0]])
    records = {"true": true, "predicted": np.array([[8, 0], [2, 0]])}
    found = SimpleNamespace(split="val", records=records, metrics={"loss": 1.0, "pixels": 10}, ids=np.arange(2))
    assert "'cat', where val has 2 classes" in str(problem(found))
    found.metrics = {"loss": None, "pixels": 0}
    found.records = {"true": 0 * true, "predicted": 0 * true}
    assert problem(found) is None
