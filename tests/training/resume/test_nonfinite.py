"""A gradient that is not finite ends the run or is left out, and `replay` names its layer and images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resnets
from resnets.core.errors import TrainingError
from resnets.modalities.batch import Batch
from resnets.training import build, prepare
from resnets.training.step import Training
from tests.training.cut import cut_after
from tests.training.runs import arguments, events


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Makes one layer's gradient NaN in the step numbered `at` (from 0)."""
    accumulate = Training.accumulate

    def wrapped(self: Training, batch: Batch) -> torch.Tensor:
        loss = accumulate(self, batch)
        if self.steps_done == at:
            gradient = self.network.get_parameter("layer2.0.conv1.weight").grad
            assert gradient is not None
            gradient[0, 0, 0, 0] = float("nan")
        return loss

    monkeypatch.setattr(Training, "accumulate", wrapped)


def test_a_nan_in_a_gradient_stops_the_run_naming_step_layer_and_images(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, at=23)
    settings = [a for a in arguments(data, tmp_path) if "=" in a]
    with pytest.raises(TrainingError) as caught:
        resnets.train("paper/cifar", *settings, data=str(data), out=tmp_path / "r", epochs=6, checkpoint_steps=10)
    message = str(caught.value)
    assert "Step 24 has a gradient that is not finite, first in the backward pass of layer2.0.conv1" in message
    assert ".png" in message
    assert "Step 20 is saved" in message
    replayed = resnets.replay(tmp_path / "r", step=24)
    assert replayed.layer == "layer2.0.conv1"
    assert len(replayed.images) == 12
    monkeypatch.undo()
    assert resnets.replay(tmp_path / "r", step=24).layer is None


def test_a_nan_in_a_gradient_can_be_left_out(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, at=23)
    settings = [a for a in arguments(data, tmp_path, "nonfinite=skip") if "=" in a]
    run = resnets.train("paper/cifar", *settings, data=str(data), out=tmp_path / "r", epochs=6)
    assert events(tmp_path / "r")[-1]["skipped"] == 1
    state = resnets.load(run.model).network.state_dict()
    assert all(value.isfinite().all() for value in state.values())


def test_a_bad_first_step_is_left_out_without_a_trace(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, at=0)
    settings = [a for a in arguments(data, tmp_path, "nonfinite=skip") if "=" in a]
    run = resnets.train("paper/cifar", *settings, data=str(data), out=tmp_path / "r", epochs=1)
    state = resnets.load(run.model).network.state_dict()
    assert all(value.isfinite().all() and value.abs().max() < 100 for value in state.values())


def test_images_are_blamed_in_the_ghost_batch_that_they_were_in(data: Path, tmp_path: Path) -> None:
    from resnets.training import diagnosis
    from resnets.training.distributed import Ranks
    from resnets.training.plan import read_plan
    from resnets.training.run_folder import RunFolder

    cut_after(data, tmp_path / "r", 10)
    plan = read_plan(RunFolder(tmp_path / "r").recipe)
    _, found = prepare.resolve(plan.recipe)
    training, batches = build.build_training(plan, found, Ranks())
    make = batches.make
    expected = batches.dataset.name(int(make(3)["ids"][7]))

    def poisoned_batch(step: int) -> Batch:
        batch = make(step)
        batch["inputs"][7] = float("inf")  # the fourth image of the second ghost batch of four
        return batch

    batches.make = poisoned_batch  # type: ignore[method-assign]
    result = diagnosis.diagnose(training, batches, 3)
    assert (result.layer, result.during, result.blamed) == ("conv1", "forward", 1)
    assert result.images[0] == expected
