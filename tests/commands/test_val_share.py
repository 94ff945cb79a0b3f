"""How much of data without val `train` holds out where no share is given: see docs/photographs.md, "Splits"."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import resnets
from resnets.commands.asked_recipe import asked_recipe
from resnets.core.errors import UsageError
from resnets.recipes.catalog import RECIPES
from resnets.training.plan import read_plan
from tests.command_line import call
from tests.training.run_split.conftest import TINY, add, split_of
from tests.training.run_split.test_groups_and_folds import record_of
from tests.training.runs import events
from tests.training.test_size import NOTHING

SHORT = ("--epochs", 1, "--device", "cpu", *TINY)
WHOLE = ("digits", "paper/", "fast/")


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes in train and test, 20 and 4 images each."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for name in ("cat", "horse"):
        add(root / "train" / name, *range(20))
        add(root / "test" / name, *range(100, 104))
    return root


def test_beside_test_a_fifth_is_held_out_and_test_is_scored_once(tested: Path, tmp_path: Path) -> None:
    result = call("train", "stochastic-depth", "--data", tested, "--out", tmp_path / "r", *SHORT, "--json")
    trained, held_out = split_of(tmp_path / "r")
    assert len(trained) + len(held_out) == 40
    assert 4 <= len(held_out) <= 14
    answer = result.json
    assert (answer["split"], answer["samples"], answer["test"]["samples"]) == ("val", len(held_out), 8)
    notes = events(tmp_path / "r")[0]["notes"]
    assert any("are held out, as val (--val-share 0 trains on all)" in note for note in notes)
    # The recipe of the run has the share, and so repeats it.
    assert read_plan(tmp_path / "r" / "recipe.json").recipe.val_share == 0.2
    again = call("train", tmp_path / "r" / "recipe.json", "--out", tmp_path / "again", "--device", "cpu", "--json").json
    assert split_of(tmp_path / "again") == (trained, held_out)
    assert {name: again[name] for name in ("accuracy", "loss")} == {name: answer[name] for name in ("accuracy", "loss")}


@pytest.mark.parametrize("whole", [("paper/cifar",), ("fast/cifar10",), ("stochastic-depth", "--val-share", 0)])
def test_all_is_trained_on_where_others_did_so(whole: tuple[object, ...], tested: Path, tmp_path: Path) -> None:
    answer = call("train", *whole, "--data", tested, "--out", tmp_path / "r", *SHORT, "--json").json
    assert (answer["split"], answer["samples"], "test" in answer) == ("test", 8, False)


def test_a_recipe_of_an_earlier_run_trains_on_what_that_run_trained_on(tested: Path, tmp_path: Path) -> None:
    assert call("train", "stochastic-depth", "--data", tested, "--out", tmp_path / "r", *SHORT).code == 0
    found = json.loads((tmp_path / "r" / "recipe.json").read_text())
    del found["recipe"]["val_share"]  # as before 0.3, when a fifth was held out where there was no test either
    (tmp_path / "old.json").write_text(json.dumps(found))
    answer = call("train", tmp_path / "old.json", "--out", tmp_path / "again", "--device", "cpu", "--json").json
    assert (answer["split"], answer["samples"]) == ("test", 8)


# The others look for weights, or for boxes.
@pytest.mark.parametrize("name", sorted(name for name in RECIPES if not name.startswith(("finetune", "detection/"))))
def test_every_recipe_by_name(name: str, tested: Path) -> None:
    given = {**NOTHING, "size": None, "data": str(tested)}
    expected = None if name.startswith(WHOLE) else 0.2
    assert asked_recipe(name, (), **given).recipe().val_share == expected
    assert asked_recipe(name, ("holdout=10",), **given).recipe().val_share is None
    assert asked_recipe(name, ("val_share=0.3",), **given).recipe().val_share == 0.3
    assert asked_recipe(RECIPES[name](), (), **given).recipe().val_share is None  # from Python, as it is


def test_of_the_folds_that_are_trained_on_a_fifth_is_val(tested: Path, tmp_path: Path) -> None:
    answer = call("train", "wide", "--data", tested, "--fold", "1/2", "--out", tmp_path / "r", *SHORT, "--json").json
    record = record_of(tmp_path / "r")
    assert sum(map(len, record.values())) == len(set().union(*record.values())) == 48
    assert (answer["samples"], answer["test"]["samples"]) == (len(record["val"]), len(record["test"]))
    assert 16 <= len(record["test"]) <= 32
    assert 0 < len(record["val"]) < len(record["train"])


def test_data_in_memory(tmp_path: Path) -> None:
    labels = [0, 1] * 20
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3)).astype(np.uint8)
    data = {"train": (images, labels), "test": (images[:8], labels[:8])}
    run = resnets.train("wide", *TINY, data=data, epochs=1, device="cpu", out=tmp_path / "r")
    assert (run.metrics["split"], run.metrics["test"]["samples"]) == ("val", 8)


def test_a_sweep_over_what_is_drawn_has_no_share(tested: Path, tmp_path: Path) -> None:
    run = resnets.train(
        "wide", *TINY, data=tested, epochs=1, device="cpu", sweep=("holdout=4,8",), out=tmp_path / "sweep"
    )
    assert [each["samples"] for each in run.metrics["runs"]] == [4, 8]


def test_runs_with_and_without_a_share_are_compared_on_test_alone(tested: Path, tmp_path: Path) -> None:
    runs = [
        resnets.train(recipe, *TINY, data=tested, epochs=1, device="cpu", out=tmp_path / name)
        for name, recipe in (("share", "wide"), ("whole", "paper/cifar"))
    ]
    assert resnets.compare(*runs, device="cpu")["split"] == "test"
    with pytest.raises(UsageError, match="held out different images"):
        resnets.compare(*runs, split="val", device="cpu")


@pytest.mark.parametrize("data", ["digits", "cifar10", "cifar100"])
def test_data_with_a_test_of_its_own_is_trained_on_whole(data: str) -> None:
    given = {**NOTHING, "size": None, "data": data}
    assert asked_recipe("wide", (), **given).recipe().val_share is None


def test_of_one_image_a_class_nothing_can_be_held_out_which_says_what_can_be_done(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "horse"):
            add(tmp_path / "photos" / split / name, 1)
    result = call("train", "wide", "--data", tmp_path / "photos", "--out", tmp_path / "r", *SHORT)
    assert result.code == 1
    assert "add images, or give it a val, or train on all of them: --val-share 0." in result.err


def test_best_by_the_area_under_the_curve_of_two_classes(tested: Path, tmp_path: Path) -> None:
    run = resnets.train(
        "wide", *TINY, "evaluate_every=1", data=tested, monitor="auc", epochs=3, device="cpu", out=tmp_path / "r"
    )
    evaluations = [event for event in events(tmp_path / "r") if event["event"] == "evaluation"]
    assert run.metrics["auc"] == max(event["auc"] for event in evaluations if event["split"] == "val")
    compared = resnets.compare(tmp_path / "r", tmp_path / "r" / "last.safetensors", metric="auc")
    assert compared["metric"] == "auc"
    assert compared["models"][0]["auc"] == pytest.approx(resnets.evaluate(tmp_path / "r").metrics["auc"])
