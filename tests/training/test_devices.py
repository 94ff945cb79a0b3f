"""Training on devices that are not here: what is asked of them, and that the plain forms come to the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import resnets
from resnets.core import devices
from resnets.core.devices import Abilities
from resnets.data.decoding import DecodedSamples
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.batch import Batch, Loaded
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    Affine,
    Augmentations,
    ColorJitter,
    CutMix,
    Cutout,
    Flip,
    GaussianBlur,
    Grayscale,
    Mixup,
    PaddedCrop,
    PCAColor,
    RandomErasing,
    normalize,
)
from resnets.modalities.image.tta import SHIFT_WEIGHTS
from resnets.modalities.inputs import open_reader
from resnets.models.initialization import Initialization
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.tasks.classification.task import Classification
from resnets.training import environment
from resnets.training.recipe import LAMB, SGD, AdamW, Muon, Recipe
from resnets.training.schedules import OneCycle
from resnets.training.step import Training
from resnets.training.whitening import whiten_stem
from tests.training.fake_device import Check, fake_cuda, never_waits, on_device
from tests.training.test_loop import RECIPE, losses_of, training_of

EVERYTHING = Augmentations(
    transforms=(
        PaddedCrop(padding=2),
        PaddedCrop(padding=2, fill="reflect"),
        Flip(alternating=True),
        Flip(),
        Affine(shear=5),
        ColorJitter(hue=0.1),
        PCAColor(),
        Cutout(size=3),
        Grayscale(p=0.5),
        GaussianBlur(kernel=5),
    ),
    mix=(Mixup(), CutMix(), Mixup(per="batch"), CutMix(per="batch")),
    erasing=RandomErasing(p=0.5, fill="noise"),
)
RUN = Recipe(
    name="test",
    data="none",
    model=Spec(
        depths=(1,), widths=(8,), stem="whitened", stem_width=8, classes=4, drop_path=0.5, dropout=0.1, gate="se"
    ),
    preprocessing=Preprocessing(resize=12, crop=12, color="BGR"),
    augmentations=EVERYTHING,
    batch=16,
    bn_batch=8,
    steps=1,
    clip_norm=1.0,
    ema=0.9,
    tta="shift",
    initialization=Initialization(whiten=16),
)
RULES = [SGD(nesterov=True), SGD(momentum=0), AdamW(), Muon(), LAMB()]


@pytest.fixture(autouse=True)
def no_tensors_kept_from_another_device() -> Iterator[None]:
    yield
    devices.constant.cache_clear()
    normalize._statistics.cache_clear()


def train_on_a_fake(recipe: Recipe, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, from whitening to the average, on a device that is not there."""
    g = np.random.default_rng(0)
    dataset = InMemoryDataset(tuple("abcd"), np.arange(40) % 4, g.integers(0, 256, (40, 3, 12, 12), dtype=np.uint8))
    chosen = replace(environment.choose("cpu", "fp32"), device="cuda")
    checks: list[Check] = []

    def when_it_trains(name: str, arguments: list[Any], results: list[Any]) -> None:
        for each in checks:
            each(name, arguments, results)

    with fake_cuda(when_it_trains, monkeypatch):
        training = Training(recipe, chosen, Classification(), ResNet(recipe.model), len(dataset))
        made = Batches(
            dataset,
            sampler=EpochSampler(len(dataset), recipe.batch, 0),
            reader=open_reader(recipe.preprocessing, recipe.augmentations),
            seed=0,
            bn_batch=8,
            device=training.device,
            prepared=dataset.pixels,
        )

        def backward(loss: Tensor) -> None:
            for parameter in training.network.parameters():
                parameter.grad = torch.zeros_like(parameter)

        monkeypatch.setattr(Tensor, "backward", backward)  # autograd's threads want a device that is there
        training.prepare(made)
        checks.append(check)
        for batch in made.between(0, recipe.steps or 0):
            loss = training.step(batch)
            assert loss.device.type == "cuda"
        # What the host was given to keep comes into a step the same way.
        decoded = DecodedSamples({"inputs": torch.zeros(16, 3, 12, 12, dtype=torch.uint8)}, np.arange(16))
        monkeypatch.setattr(made, "_start", lambda step, submit: lambda: decoded)
        training.step(made.make(1))
        checks.clear()


def test_only_what_lies_on_the_host_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices._ABILITIES, "meta", Abilities(pinned=True))
    there = torch.zeros(2, device="meta")  # of which torch can pin nothing, as of what is on a GPU
    assert devices.to_device(there, there.device).device.type == "meta"


@pytest.mark.parametrize(
    ("optimizer", "nonfinite"),
    [(SGD(), "stop"), (AdamW(), "skip"), (Muon(), "stop"), (LAMB(), "skip")],
    ids=["sgd", "adamw", "muon", "lamb"],
)
def test_no_step_waits_for_the_device(optimizer: Any, nonfinite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *_, **__: None)  # which has no form without numbers

    def check(name: str, arguments: list[Any], results: list[Any]) -> None:
        seen.append(name)
        never_waits(name, arguments, results)

    train_on_a_fake(replace(RUN, optimizer=optimizer, nonfinite=nonfinite), check, monkeypatch)
    assert {"aten::convolution", "aten::grid_sampler_2d", "aten::special_ndtri"} <= set(seen)


def test_the_fake_notices_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(never_waits, monkeypatch):
        numbers = torch.zeros(3, device="cuda")
        for waits in (
            lambda: torch.tensor([1.0, 2.0], device="cuda"),
            lambda: torch.zeros(3).to("cuda"),
            lambda: torch.zeros(3).to("cuda", non_blocking=True),
            lambda: numbers.cpu(),
            lambda: numbers.tolist(),
            lambda: float(numbers.sum()),
            lambda: numbers[numbers > 0],
            lambda: bool(numbers.isfinite().all()),
        ):
            with pytest.raises(Exception):  # noqa: B017
                waits()
        torch.zeros(3).pin_memory().to("cuda", non_blocking=True)


def check_as_mps(name: str, arguments: list[Any], results: list[Any]) -> None:
    """Fails on what MPS lacks."""
    touched = on_device(arguments + results)
    if not touched:
        return
    assert "foreach" not in name
    assert "fused" not in name
    assert name != "aten::special_ndtri"
    assert all(t.dtype != torch.float64 for t in touched), name
    if name in ("aten::_to_copy", "aten::copy_") and on_device(arguments, wanted=False):
        assert True not in [a for a in arguments if isinstance(a, bool)], f"{name} may read memory that is free"
    if name in ("aten::convolution", "aten::native_batch_norm", "aten::cudnn_batch_norm"):
        assert all(t.is_contiguous() for t in on_device(arguments)), f"{name} in channels last"


@pytest.mark.parametrize("optimizer", RULES, ids=["sgd", "plain", "adamw", "muon", "lamb"])
def test_nothing_is_asked_of_mps_that_it_lacks(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices._ABILITIES, "cuda", devices._ABILITIES["mps"])
    train_on_a_fake(replace(RUN, optimizer=optimizer), check_as_mps, monkeypatch)


@pytest.mark.parametrize("whitened", [True, False])
def test_nothing_else_is_asked_of_mps_that_it_lacks(whitened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a run and an evaluation, which may wait for the device."""
    monkeypatch.setitem(devices._ABILITIES, "cuda", devices._ABILITIES["mps"])
    with fake_cuda(check_as_mps, monkeypatch):
        network = ResNet(RUN.model if whitened else replace(RUN.model, stem="cifar")).eval()
        network.to(torch.device("cuda"), memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if whitened:

            class Images:
                def between(self, start: int, stop: int) -> Iterator[Batch]:
                    yield Batch({"inputs": torch.zeros(16, 3, 12, 12, device="cuda")})

            assert whiten_stem(network, RUN, Images(), 8)  # type: ignore[arg-type]
        reader = open_reader(RUN.preprocessing)
        predictor = NetworkPredictor(network, Classification(), reader, tta="shift", device=torch.device("cuda"))
        crops = Loaded([np.zeros((3, 12, 12), np.uint8)] * 6, SHIFT_WEIGHTS)
        outputs = predictor.predict([crops, crops])
        assert outputs.dtype == torch.float64
        labels = torch.zeros(2, dtype=torch.int64, device="cuda")
        Classification().evaluate_batch(outputs.to(torch.float32).to("cuda"), Batch({"labels": labels}))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": SGD(lr=0.1, nesterov=True, weight_decay=5e-4), "clip_norm": 0.5},
        {"optimizer": SGD(lr=0.1, momentum=0)},
        {"optimizer": AdamW(lr=3e-3), "ema": 0.9, "bn_batch": 16},
        {
            "optimizer": Muon(lr=0.1),
            "augmentations": Augmentations(transforms=(PaddedCrop(padding=1, fill="reflect"), Flip())),
        },
    ],
    ids=["sgd", "plain", "adamw", "muon"],
)
def test_the_plain_forms_come_to_the_same(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPE, schedule=OneCycle(peak=0), **changes)
    expected = losses_of(recipe)
    monkeypatch.setitem(devices._ABILITIES, "cpu", Abilities())
    assert losses_of(recipe) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("optimizer", RULES, ids=["sgd", "plain", "adamw", "muon", "lamb"])
def test_the_plain_forms_leave_out_a_step_that_is_not_finite(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices._ABILITIES, "cpu", Abilities())
    training, made = training_of(replace(RECIPE, optimizer=optimizer, nonfinite="skip"))
    for number in range(2):
        training.step(made.make(number))
    before = {name: value.clone() for name, value in training.state().items()}
    broken = made.make(2)
    training.step(broken | {"inputs": broken["inputs"].log()})
    assert int(training.skipped) == 1
    moved = {name for name, value in training.state().items() if not torch.equal(value, before[name])}
    assert {name.rpartition(".")[2] for name in moved} <= {"num_batches_tracked"}
    training.step(made.make(3))
    assert not torch.equal(training.state()["network.fc.weight"], before["network.fc.weight"])


@pytest.mark.slow
def test_a_whole_run_with_the_plain_forms_ends_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"epochs": 2, "device": "cpu"}
    usual = resnets.train("digits", "tta=flip", out=tmp_path / "usual", **settings)
    monkeypatch.setitem(devices._ABILITIES, "cpu", Abilities())
    plain = resnets.train("digits", "tta=flip", out=tmp_path / "plain", **settings)
    assert plain.metrics["loss"] == pytest.approx(usual.metrics["loss"], rel=0.02)
    assert resnets.evaluate(plain.folder, device="cpu").metrics["loss"] == pytest.approx(plain.metrics["loss"])
    assert resnets.load(plain.model).card.environment["layout"] == "contiguous"
