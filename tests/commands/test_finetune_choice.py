"""Fine-tuning is what `resnets train` does with photographs where there are weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.training.plan import read_plan
from resnets.training.recipe import Muon
from tests.command_line import call
from tests.training.runs import events, make_images

SMALL = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data"), train=8, val=3)


@pytest.fixture(scope="module")
def weights(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a small network that was trained on inputs of 48 px."""
    sizes = ("preprocessing.resize=52", "preprocessing.crop=48", "augmentations.progressive_resize=none")
    run = resnets.train("photos", *SMALL, *sizes, "steps=1", data=folder, out=tmp_path_factory.mktemp("w") / "run")
    return run.model


def plan_of(run: Path) -> dict[str, str]:
    """The lines of a run's plan by their topic."""
    start = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    (plan,) = (note for note in start["notes"] if note.startswith("the plan"))
    return {line.split()[0]: line for line in plan.splitlines()[1:]}


def test_weights_that_are_given_are_fine_tuned_as_they_were_trained(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = call("train", "--data", folder, "--weights", weights, "--epochs", 1, "--out", out, "precision=fp32")
    assert result.code == 0, result.err
    recipe = read_plan(out / "recipe.json").recipe
    assert (recipe.name, recipe.model.depths, recipe.largest_shape) == ("finetune", (1, 1), (48, 48))
    assert plan_of(out)["recipe"].endswith("finetune: weights are given")
    assert plan_of(out)["model"].endswith("that of the weights")
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["event"] == "end"


def test_weights_of_few_other_classes_learn_as_from_scratch(folder: Path, weights: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number, each in enumerate(sorted((folder / split).iterdir())):
            shutil.copytree(each, tmp_path / "others" / split / f"other-{number}")
    run = resnets.train("steps=1", "precision=fp32", data=tmp_path / "others", weights=weights, out=tmp_path / "run")
    recipe = read_plan(run.folder / "recipe.json").recipe
    assert (recipe.name, recipe.model.depths, recipe.fine_tuning.freeze) == ("finetune", (1, 1), 0)
    assert recipe.weights == str(weights)
    assert isinstance(recipe.optimizer, Muon)
    assert "most of them others" in plan_of(run.folder)["rate"]


def test_weights_at_hand_are_fine_tuned_without_a_flag(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    at_hand = tmp_path / "cache" / "weights" / "w.safetensors"
    shutil.copyfile(weights, at_hand)
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    run = resnets.train("steps=1", "precision=fp32", data=folder, out=tmp_path / "run")
    recipe = read_plan(run.folder / "recipe.json").recipe
    assert (recipe.name, recipe.weights, recipe.largest_shape) == ("finetune", str(at_hand), (48, 48))
    assert "found in" in plan_of(run.folder)["weights"]
    other = resnets.train("steps=1", "precision=fp32", data=folder, model="cifar_resnet20", out=tmp_path / "other")
    assert read_plan(other.folder / "recipe.json").recipe.name == "photos"
    scratch = resnets.train("photos", *SMALL, "steps=1", data=folder, out=tmp_path / "scratch")
    assert read_plan(scratch.folder / "recipe.json").recipe.weights is None


@pytest.mark.parametrize("given", [("--minutes", 1), pytest.param(("minutes=1",), marks=pytest.mark.slow)])
def test_a_time_budget_is_not_used_up_beyond_the_length_of_the_rule(
    given: tuple[object, ...], folder: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert call("train", "--data", folder, "--weights", weights, *given, "--out", out, "precision=fp32").code == 0
    *_, last, end = (each for each in events(out) if each["event"] in ("step", "end"))
    assert (last["step"], end["event"]) == (3, "end")  # an epoch: of few images the head alone learns, from a fit
    assert "1 min, at most 1 epoch: fewer than 40 images a class" in plan_of(out)["length"]
    assert read_plan(out / "recipe.json").recipe.minutes == 1


def test_photos_from_weights_keeps_its_sizes(folder: Path, weights: Path, tmp_path: Path) -> None:
    run = resnets.train("photos", "steps=1", "precision=fp32", data=folder, weights=weights, out=tmp_path / "run")
    recipe = read_plan(run.folder / "recipe.json").recipe
    assert (recipe.name, recipe.model.depths, recipe.largest_shape) == ("photos", (1, 1), (64, 64))
    assert plan_of(run.folder)["model"].endswith("that of the weights")


def test_settings_that_are_flags_choose_the_recipe_as_these_do(folder: Path, weights: Path, tmp_path: Path) -> None:
    settings = (f"data={folder}", f"weights={weights}", "minutes=1", "precision=fp32", "steps=1")
    asked = read_plan(resnets.train(*settings, out=tmp_path / "run").folder / "recipe.json").recipe
    flags = {"data": folder, "weights": weights, "minutes": 1}
    given = resnets.train("precision=fp32", "steps=1", **flags, out=tmp_path / "flags")  # type: ignore[arg-type]
    assert asked == read_plan(given.folder / "recipe.json").recipe
    assert (asked.name, asked.largest_shape) == ("finetune", (48, 48))
    with pytest.raises(UsageError, match="data is given twice"):
        resnets.train("digits", "data=digits", data="digits", out=tmp_path / "twice")
    for sweep in (f"weights={weights}", "data=digits,cifar10", "fold=1/2"):
        with pytest.raises(UsageError, match=f"The recipe depends on {sweep.partition('=')[0]}"):
            resnets.train("steps=1", data=folder, sweep=(sweep,), out=tmp_path / "sweep")


def test_files_that_are_no_weights_of_a_classifier_are_passed_over(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "weights" / "a.pth").write_bytes(b"no weights")
    arguments = ("train", "--data", folder, *SMALL, "steps=1", "--out")
    first = call(*arguments, tmp_path / "scratch")
    assert (first.code, read_plan(tmp_path / "scratch" / "recipe.json").recipe.name) == (0, "photos")
    assert "a.pth is passed over" in first.err
    shutil.copyfile(weights, tmp_path / "cache" / "weights" / "b.safetensors")
    assert call("train", "--data", folder, "steps=1", "precision=fp32", "--out", tmp_path / "tuned").code == 0
    assert read_plan(tmp_path / "tuned" / "recipe.json").recipe.name == "finetune"
