"""Learning from a teacher: against lines of NumPy, on real model files, and in runs that are cut."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from resnets.core.errors import FileError, UsageError
from resnets.core.files import sha256_of
from resnets.modalities.image.preprocessing import encode_mean_image
from resnets.modalities.image.transforms import Augmentations, Mixup
from resnets.modalities.inputs import open_reader
from resnets.models.initialize import create
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.training.distillation import Distillation
from resnets.training.plan import read_plan
from resnets.training.recipe import Recipe
from resnets.training.teacher import open_teacher
from tests.training.cut import Cut, cut_after
from tests.training.runs import arguments, curve, run_resnets, sha_of
from tests.training.test_distributed import assert_close
from tests.training.test_loop import RECIPE, training_of

DIGITS = tuple("0123456789")
CPU = torch.device("cpu")


def save_teacher(path: Path, classes: tuple[str, ...] = DIGITS, **changes: Any) -> Path:
    """A model file of a network for digits, with other weights than those that runs begin with."""
    spec = replace(RECIPE.model, classes=len(classes))
    card = model_file.ModelCard(
        spec=spec, classes=classes, preprocessing=replace(RECIPE.preprocessing, **changes), settings=RECIPE.task
    )
    network = create(spec, seed=9)
    with torch.no_grad():
        network.fc.weight.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    model_file.save(path, network.state_dict(), card)
    return path


def taught(path: Path, **settings: Any) -> Recipe:
    return replace(RECIPE, teacher=Distillation(model=str(path), **settings))


def log_softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return found


@pytest.mark.parametrize("mixed", [False, True])
def test_the_loss_of_a_step_is_that_of_lines_of_numpy(mixed: bool, tmp_path: Path) -> None:
    recipe = taught(save_teacher(tmp_path / "t.safetensors"), weight=0.3, temperature=2.5)
    if mixed:
        recipe = replace(recipe, augmentations=Augmentations(mix=(Mixup(),)))
    training, batches = training_of(recipe)
    training.learner.teacher = open_teacher(recipe, DIGITS, CPU)
    batch = batches.make(0)
    with torch.no_grad():
        ours = training.network.train()(batch["inputs"]).double().numpy()
        theirs = resnets.load(tmp_path / "t.safetensors").network(batch["inputs"]).double().numpy()
        own = training.task.loss(lambda inputs: torch.from_numpy(ours), batch)["loss"].mean().item()
    p = np.exp(log_softmax(theirs / 2.5))
    divergence = (p * (log_softmax(theirs / 2.5) - log_softmax(ours / 2.5))).sum(1).mean()
    assert divergence > 0.01
    assert training.step(batch).item() == pytest.approx(0.7 * own + 0.3 * 2.5**2 * divergence, rel=1e-5)


def test_gradients_are_those_of_the_softened_probabilities(tmp_path: Path) -> None:
    """Equation 2 of the paper: of T^2 times the mean over samples, T (q - p)."""
    recipe = taught(save_teacher(tmp_path / "t.safetensors"), weight=1.0, temperature=3.0)
    training, batches = training_of(recipe)
    teacher = open_teacher(recipe, DIGITS, CPU)
    batch = batches.make(0)
    logits = torch.randn(len(batch), 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parts = teacher.loss(lambda inputs: logits, training.task, batch)  # type: ignore[arg-type]
    assert float(parts["loss"].detach().abs().max()) == 0
    parts["distillation"].sum().backward()  # type: ignore[no-untyped-call]
    p, q = (torch.softmax(each / 3, 1) for each in (teacher.logits(batch["inputs"]), logits.detach()))
    torch.testing.assert_close(logits.grad, 3 * (q - p), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mean_image", [False, True])
def test_a_teacher_sees_its_own_normalization_and_answers_in_the_order_of_the_data(
    mean_image: bool, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).random((1, 8, 8), np.float32)
    changes: dict[str, Any] = {"mean": (0.1,), "std": (0.7,), "resize": 9}
    if mean_image:
        changes["mean_image"] = encode_mean_image(pixels)
    path = save_teacher(tmp_path / "t.safetensors", DIGITS[::-1], **changes)
    teacher, own = open_teacher(taught(path), DIGITS, CPU), open_reader(RECIPE.preprocessing)
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = resnets.load(path)
    with torch.no_grad():
        expected = model.network(open_reader(model.preprocessing).normalize(images)).flip(1)
    torch.testing.assert_close(teacher.logits(own.normalize(images)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (*DIGITS[:9], "ten")}, "lacks 9 and has ten besides"),
        ({"crop": 12, "resize": 12}, "inputs of size 12x12, and this recipe makes them 8x8"),
        ({"interpolation": "bicubic"}, r"give preprocessing\.interpolation=bicubic, or take another teacher"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_teacher(tmp_path / "t.safetensors", **changes)
    with pytest.raises(UsageError, match=message):
        resnets.train("digits", *SMALL, teacher=path, out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r" / "recipe.json").exists()


SMALL = (
    "preprocessing.resize=8", "preprocessing.crop=8", "preprocessing.color=L", "preprocessing.mean=[0.3]",
    "preprocessing.std=[0.4]", "preprocessing.interpolation=bilinear", "normalize=given", "steps=1",
)  # fmt: skip


def test_settings_out_of_range_and_other_tasks_are_refused(tmp_path: Path) -> None:
    for settings, message in (({"weight": 1.5}, "from 0 to 1"), ({"temperature": 0.0}, "above 0")):
        with pytest.raises(UsageError, match=message):
            Distillation(model="m", **settings)
    with pytest.raises(UsageError, match="this is multi-label: give teacher=none"):
        replace(taught(tmp_path), task=MultiLabel())
    with pytest.raises(FileError, match="There is no model file or run folder"):
        resnets.train("digits", "steps=1", teacher=tmp_path / "none", out=tmp_path / "r", device="cpu")


def test_a_run_with_a_teacher_is_recorded_cut_and_goes_on_with_the_same_one_alone(data: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path / "teacher", "model.widths=[16,32]", epochs=1)) == 0
    teacher = tmp_path / "teacher" / "model.safetensors"
    settings = ("--teacher", str(tmp_path / "teacher"), "teacher.temperature=2")
    assert main(arguments(data, tmp_path / "whole", *settings, epochs=2)) == 0
    plan = read_plan(tmp_path / "whole" / "recipe.json")
    assert plan.teacher_sha256 == sha256_of(teacher)
    assert plan.recipe.teacher == Distillation(model=str(teacher), temperature=2.0)
    moved = replace(plan, recipe=replace(plan.recipe, teacher=Distillation(model="elsewhere", temperature=2.0)))
    assert plan.sha256 == moved.sha256 != replace(moved, teacher_sha256="another").sha256

    cut_after(data, tmp_path / "cut", 15, "teacher.temperature=2", epochs=2, teacher=teacher)
    kept = teacher.read_bytes()
    shutil.copy(tmp_path / "whole" / "model.safetensors", teacher)
    with pytest.raises(FileError, match="is not the teacher that the run began with"):
        resnets.resume(tmp_path / "cut")
    teacher.write_bytes(kept)
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert json.loads((tmp_path / "cut" / "recipe.json").read_text())["teacher_sha256"] == plan.teacher_sha256


def test_a_teacher_by_a_relative_path_teaches_folds_that_go_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_teacher(tmp_path / "t.safetensors")
    (tmp_path / "elsewhere").mkdir()
    ended: list[dict[str, Any]] = []

    def subscriber(event: dict[str, Any]) -> None:
        if event["event"] == "start" and ended:
            raise Cut
        if event["event"] == "end":
            ended.append(event)

    options: dict[str, Any] = {"fold": "all/2", "device": "cpu"}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Cut):
        resnets.train("digits", *SMALL, teacher="t.safetensors", out="r", subscribers=(subscriber,), **options)
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = resnets.resume(tmp_path / "r")
    for number in (1, 2):
        teacher = read_plan(tmp_path / "r" / f"fold-{number}" / "recipe.json").recipe.teacher
        assert teacher == Distillation(model=str(path))
    whole = resnets.train("digits", *SMALL, teacher=path, out=tmp_path / "whole", **options)
    assert found.metrics["accuracy"] == whole.metrics["accuracy"]


@pytest.mark.slow
def test_two_ranks_learn_what_one_does(data: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path / "teacher", epochs=0.5)) == 0
    settings = ("precision=fp32", "optimizer.lr=0.01", "--teacher", str(tmp_path / "teacher"))
    for ranks in (1, 2):
        code, _, err = run_resnets(arguments(data, tmp_path / str(ranks), *settings, epochs=1), ranks=ranks)
        assert code == 0, err
    assert_close(tmp_path / "2", tmp_path / "1")


def test_a_teacher_weighs_classes_as_the_task_does(tmp_path: Path) -> None:
    """Weights that are all alike change nothing, whatever they are."""
    recipe = taught(save_teacher(tmp_path / "t.safetensors"), weight=0.4)
    losses = []
    for weights in (None, (1.0,) * 10, (7.0,) * 10, tuple(range(1, 11))):
        training, batches = training_of(recipe)
        training.task = replace(training.task, class_weights=weights)  # type: ignore[type-var]
        training.learner.task = training.task
        training.learner.teacher = open_teacher(recipe, DIGITS, CPU)
        losses.append(training.step(batches.make(0)).item())
    assert losses[1:3] == pytest.approx([losses[0]] * 2, rel=1e-5)
    assert losses[3] != pytest.approx(losses[0], rel=1e-4)
