"""The fast recipes on real files, from the command line, to the end and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.artifacts.model import load
from resnets.cli import main
from resnets.core.errors import DataError, UsageError
from resnets.experiments.nets import Net
from resnets.experiments.trial import Trial
from resnets.modalities.image.transforms import Augmentations, ProgressiveResize
from resnets.recipes.catalog import find
from resnets.training import build, prepare
from resnets.training.step import Training
from tests.training.runs import make_images

SMALL = ("batch=24", "bn_batch=12", "model.widths=[8,8,16]", "model.stem_width=8", "initialization.whiten=60")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data"))


def test_it_trains_resumes_and_is_evaluated_as_its_recipe_says(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["train", "fast/cifar10", "--data", str(data), "--out", str(out), "--epochs", "6", *SMALL]
    assert main([*argv, "--checkpoint-steps", "10"]) == 0
    whole = load(out)
    filters = whole.network.get_parameter("conv1.0.weight")
    assert torch.equal(filters[:12], -filters[12:])  # whitening filters, computed from the images and never trained
    recipe = replace(find("fast/cifar10").with_overrides(SMALL), data=str(data))
    assert torch.equal(
        Trial(Net("small", recipe.model), recipe, out).initial_network().get_parameter("conv1.0.weight"), filters
    )
    assert whole.tta == "shift"
    last = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()][-2]
    assert resnets.evaluate(out, data=str(data)).metrics["loss"] == last["loss"]
    assert resnets.evaluate(out, data=str(data), tta="center").metrics["loss"] != last["loss"]

    class CutError(BaseException):  # an Exception of a subscriber does not end the run
        pass

    def subscriber(event: dict[str, object]) -> None:
        if event["event"] == "step" and int(str(event["step"])) >= 20:
            raise CutError

    with pytest.raises(CutError):
        resnets.train(
            "fast/cifar10", *SMALL, data=str(data), epochs=6, out=tmp_path / "cut", checkpoint_steps=10,
            subscribers=(subscriber,),
        )  # fmt: skip
    resnets.resume(tmp_path / "cut")
    again = load(tmp_path / "cut").network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in whole.network.state_dict().items())
    capsys.readouterr()
    assert main(["predict", str(out), str(next((data / "val").glob("*/*.png"))), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_interrupted_while_it_whitens_it_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(folder: str) -> None:
        resnets.train("fast/cifar10", *SMALL, data=str(data), epochs=0.5, out=tmp_path / folder)

    def gone(*_: object) -> None:
        raise DataError("An image is gone.")

    train("whole")
    with monkeypatch.context() as m:
        m.setattr(Training, "prepare", gone)
        with pytest.raises(DataError, match="resnets resume"):
            train("cut")
    resnets.resume(tmp_path / "cut")
    whole, again = (load(tmp_path / folder).network.state_dict() for folder in ("whole", "cut"))
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_the_whitening_filters_of_given_weights_stay(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    resnets.train("fast/cifar10", *SMALL, data=str(data), epochs=0.5, out=first)
    resnets.train(
        "fast/cifar10", *SMALL, "initialization.whiten=24", data=str(data), epochs=0.5, out=second, weights=str(first)
    )
    filters = [load(out).network.get_parameter("conv1.0.weight") for out in (first, second)]
    assert torch.equal(*filters)


def test_the_wider_one_trains_with_cutout(data: Path, tmp_path: Path) -> None:
    recipe, found = prepare.resolve(replace(find("fast/cifar10-96").with_overrides(SMALL), data=str(data)))
    images = build.batches_for(recipe, found, device=torch.device("cpu")).make(0)["inputs"]
    colours = images.flatten(2)
    hidden = (colours == colours.mode(dim=2, keepdim=True).values).all(dim=1).sum(dim=1)
    assert hidden.min() >= 6 * 6  # a square of 12 about any pixel, in one colour
    assert hidden.max() > 100
    run = resnets.train("fast/cifar10-96", *SMALL, data=str(data), epochs=1, out=tmp_path / "run")
    assert load(run.model).tta == "shift"


def test_progressive_resizing_follows_ffcv() -> None:
    augmentations = find("fast/imagenet").augmentations
    assert isinstance(augmentations, Augmentations)
    progressive_resize = augmentations.progressive_resize
    assert progressive_resize is not None
    for epoch in np.linspace(0, 88, 177):  # ffcv: from 160 to 192 between epochs 65 and 76 of 88
        theirs = int(np.round(np.interp(epoch, [65, 76], [160, 192]) / 32)) * 32
        if abs(epoch - 70.5) > 0.5:  # where theirs switches
            assert progressive_resize.at(epoch / 88) == theirs
    assert ProgressiveResize(start=100, stop=150, since=0, until=1, multiple=20).at(0.5) == 120


def test_imagenet_trains_on_growing_crops_and_is_evaluated_larger_and_flipped(data: Path, tmp_path: Path) -> None:
    settings = ["model.depths=[1,1]", "model.widths=[8,8]", "model.stem_width=8", "batch=12"]
    settings += ["preprocessing.resize=48", "preprocessing.crop=40"]
    settings += [
        "augmentations.progressive_resize.start=16",
        "augmentations.progressive_resize.stop=32",
        "augmentations.progressive_resize.multiple=8",
    ]
    recipe, found = prepare.resolve(replace(find("fast/imagenet"), data=str(data)).with_overrides(settings))
    batches = build.batches_for(recipe, found, device=torch.device("cpu"))
    total = recipe.total_steps(len(found.train))
    sizes = [batches.make(step)["inputs"].shape[-1] for step in range(0, total, 4)]
    assert sizes == sorted(sizes)
    assert {16, 24, 32} <= set(sizes) <= {16, 24, 32}
    torch.testing.assert_close(
        list(batches.between(total - 3, total))[-1]["inputs"], batches.make(total - 1)["inputs"], atol=0, rtol=0
    )
    run = resnets.train("fast/imagenet", *settings, data=str(data), epochs=4, out=tmp_path / "run", workers=2)
    model = load(run.model)
    assert (model.card.preprocessing.shape(), model.tta) == ((40, 40), "flip")
    assert resnets.evaluate(run.model, data=str(data)).metrics["loss"] == run.metrics["loss"]


def test_invalid_progressive_resizing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"augmentations\.crop"):
        find("fast/imagenet").with_overrides(["augmentations.crop=none"])
    with pytest.raises(UsageError, match="normalize=channels"):
        find("fast/imagenet").with_overrides(["normalize=mean image"])
    with pytest.raises(UsageError, match="start <= stop"):
        find("fast/imagenet").with_overrides(["augmentations.progressive_resize.start=200"])
    with pytest.raises(UsageError, match=r"min_size 100 must be at least the crop of 192"):
        find("fast/imagenet").with_overrides(
            ['augmentations.crop={"kind": "ScaledCrop", "min_size": 100, "max_size": 180}']
        )
