"""Held-out images, training errors, exact statistics: what experiments ask of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, UsageError
from resnets.recipes.catalog import find
from resnets.training import build, prepare
from resnets.training.distributed import Ranks
from resnets.training.plan import read_plan
from resnets.training.run_folder import RunFolder
from resnets.training.schedules import Step
from tests.training.runs import arguments, events


def test_held_out_images_are_scored_and_never_trained_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert main(arguments(data, out, "holdout=30", "seed=4", epochs=1)) == 0
    start = events(out)[0]
    assert (start["train_samples"], start["test_samples"]) == (90, 30)
    recipe = read_plan(RunFolder(out).recipe).recipe
    _, found = prepare.resolve(recipe)
    names = [{dataset.name(i) for i in range(len(dataset))} for dataset in (found.train, found.test)]
    assert not names[0] & names[1]
    assert all("train" in name for name in names[1])
    assert np.bincount(found.test.targets["labels"]).tolist() == [10, 10, 10]
    with pytest.raises(DataError, match="holdout=119 leaves too few"):
        prepare.resolve(recipe.with_overrides(["holdout=119"]))


def test_a_batch_of_more_than_there_is_is_noted(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(data, tmp_path / "r", "batch=240", epochs=1)) == 0
    assert "A step takes 240 images and there are 120" in capsys.readouterr().out
    assert events(tmp_path / "r")[0]["notes"] == [
        "A step takes 240 images and there are 120: steps are few, and see some twice. Take a smaller batch, such as "
        "batch=15."
    ]


def test_training_errors_are_those_of_evaluation(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert main(arguments(data, out, "score_training=true", epochs=2)) == 0
    last = [e for e in events(out) if e["event"] == "evaluation"][-1]
    scores = resnets.evaluate(out, split="train")
    assert last["train_accuracy"] == scores.accuracy
    assert last["train_loss"] == pytest.approx(scores.metrics["loss"], rel=1e-6)


@pytest.mark.parametrize("average", ["none", "0.9"])
def test_exact_statistics_are_those_of_torchs_own_recomputation(average: str, data: Path, tmp_path: Path) -> None:
    settings = ["precise_bn=60", f"ema={average}", "precision=fp32", "model.drop_path=0"]
    assert main(arguments(data, tmp_path / "r", *settings, epochs=2)) == 0
    plan = read_plan(RunFolder(tmp_path / "r").recipe)
    _, found = prepare.resolve(plan.recipe)
    training, batches = build.build_training(plan, found, Ranks())
    network = resnets.load(tmp_path / "r").network
    expected = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    groups = [
        part
        for step in range(training.total_steps, training.total_steps + 5)  # 60 images in batches of 12
        for part in torch.split(batches.make(step)["inputs"], 4)
    ]
    torch.optim.swa_utils.update_bn(groups, network)
    for name, value in expected.items():
        assert torch.allclose(network.state_dict()[name], value, rtol=1e-5, atol=1e-6), name
    assert not network.get_submodule("bn1").training or network.training


def test_recipes_of_the_papers_hold_their_settings() -> None:
    deep = find("paper/cifar110")
    warm = deep.steps_at(deep.warmup.epochs, 50_000) if deep.warmup else 0
    assert warm == 400
    assert find("preactivation").warmup == deep.warmup
    wide = find("wide")
    assert isinstance(wide.schedule, Step)
    assert [200 * milestone for milestone in wide.schedule.milestones] == pytest.approx([60, 120, 160])
    assert wide.epochs == 200
    assert find("stochastic-depth").model.drop_path == 0.5
    imagenet = find("paper/imagenet")
    assert imagenet.total_steps(1_281_167) == pytest.approx(60e4, rel=0.01)
    with pytest.raises(UsageError, match="must be at least the crop of 300"):
        imagenet.with_overrides(["preprocessing.resize=300", "preprocessing.crop=300"])
