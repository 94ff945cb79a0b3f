"""Segmentation through the one loop: train, resume, evaluate and predict, as users call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.core.errors import DataError, UsageError
from tests.modalities.image.mask_folders import write_masks, write_pair
from tests.training.cut import Cut, wait_for_checkpoints
from tests.training.runs import events, sha_of

SETTINGS = (
    'model={"depths":[1,1],"widths":[4,8],"stem":"cifar","stem_width":4,"head":{"kind":"FCNHead","auxiliary":true}}',
    "preprocessing.resize=none",
    "preprocessing.crop=[10,12]",
    "batch=4",
    "bn_batch=2",
    "task.ignore=3",
    "evaluate_every=1",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes and void; every image of val has a size of its own."""
    root = write_masks(tmp_path_factory.mktemp("data"), {"train": 6}, classes=4)
    for number in range(5):
        name = f"{number}.png"
        write_pair(root / "val" / name, root / "valannot" / name, width=9 + 7 * number, height=11, classes=4)
    return root


def train(data: Path, out: Path, *settings: str, **options: Any) -> Any:
    options = {"epochs": 4, "checkpoint_steps": 2, **options}
    return resnets.train("segmentation/small", *SETTINGS, *settings, data=str(data), out=out, **options)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(data, out)
    return out


def test_a_run_is_evaluated_by_its_mean_iou(run: Path) -> None:
    found = [e for e in events(run) if e["event"] == "evaluation"]
    assert len(found) == 4
    assert all(0 <= e["miou"] <= 1 and e["samples"] == 5 for e in found)
    assert "mean IoU" in (run / "report.html").read_text()


def cut_and_resumed(data: Path, out: Path, **options: Any) -> Path:
    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 4:
            raise Cut

    with pytest.raises(Cut):
        train(data, out, subscribers=(subscriber,), **options)
    wait_for_checkpoints()
    resnets.resume(out)
    return out


def test_a_run_that_was_cut_goes_on_to_the_same_bits(run: Path, data: Path, tmp_path: Path) -> None:
    assert sha_of(cut_and_resumed(data, tmp_path / "cut")) == sha_of(run)


def test_weights_by_frequency_are_the_same_after_a_cut(data: Path, tmp_path: Path) -> None:
    root = shutil.copytree(data, tmp_path / "data")
    Image.fromarray(np.zeros((12, 20), np.uint8)).save(root / "trainannot" / "0.png")
    train(root, tmp_path / "even", "balance=none")
    train(root, tmp_path / "whole", balance="weights")
    cut = cut_and_resumed(root, tmp_path / "cut", balance="weights")
    assert sha_of(cut) == sha_of(tmp_path / "whole") != sha_of(tmp_path / "even")


def test_a_run_whose_val_is_void_goes_on_without_figures(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "valannot").iterdir():
        Image.fromarray(np.full_like(np.array(Image.open(path)), 3)).save(path)
    settings = ("schedule=Plateau", "warmup=none")
    train(tmp_path / "data", tmp_path / "r", *settings, monitor="loss")
    found = [e for e in events(tmp_path / "r") if e["event"] == "evaluation"]
    assert [(e["miou"], e["loss"]) for e in found] == [(None, None)] * 4


def test_workers_change_nothing(run: Path, data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "r", workers=0)
    assert sha_of(tmp_path / "r") == sha_of(run)


def test_the_mean_iou_is_that_of_the_masks_that_predict_writes(run: Path, data: Path, tmp_path: Path) -> None:
    for tta in ("center", "flip", "multi-scale"):
        scores = resnets.evaluate(run, data=str(data), split="val", tta=tta)
        resnets.predict(run, str(data / "val"), out=tmp_path / tta, tta=tta)
        masks = sorted((data / "valannot").iterdir())
        true, found = (
            np.concatenate([np.asarray(Image.open(folder / mask.name)).ravel() for mask in masks])
            for folder in (data / "valannot", tmp_path / tta)
        )
        each = []
        for number in range(3):
            valid, (a, b) = true != 3, (true == number, found == number)
            each.append((a & b & valid).sum() / max(((a | b) & valid).sum(), 1))
        assert scores.metrics["miou"] == pytest.approx(np.mean(each), abs=1e-12)
        listed = json.loads((tmp_path / tta / "predictions.json").read_text())["predictions"]
        assert [Path(p["input"]).name for p in listed] == [mask.name for mask in masks]
        assert all(Image.open(tmp_path / tta / p["mask"]).size == Image.open(p["input"]).size for p in listed)


def test_an_ensemble_of_equals_is_the_one(run: Path, data: Path) -> None:
    one, both = resnets.evaluate(run, data=str(data)), resnets.evaluate(run, run, data=str(data))
    assert both.metrics["miou"] == pytest.approx(one.metrics["miou"], abs=1e-9)
    assert both.metrics["loss"] == pytest.approx(one.metrics["loss"], rel=1e-5)


def test_damaged_masks_are_named_before_the_first_step(data: Path, tmp_path: Path) -> None:
    root = write_masks(tmp_path / "data", {"train": 6, "val": 2}, classes=4)
    Image.fromarray(np.zeros((12, 19), np.uint8)).save(root / "trainannot" / "2.png")
    with pytest.raises(DataError, match=r"trainannot/2\.png has 19 x 12 pixels"):
        train(root, tmp_path / "r")
    assert not (tmp_path / "r" / "recipe.json").exists()
    train(root, tmp_path / "r", "damaged=exclude", epochs=1)
    assert [e["train_samples"] for e in events(tmp_path / "r") if e["event"] == "start"] == [5]


def test_a_classifiers_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises((DataError, UsageError), match="segmentation"):
        resnets.train("paper/cifar", data=str(data), out=tmp_path / "r", epochs=1)


def test_a_split_whose_pixels_are_all_void_has_no_scores(tmp_path: Path) -> None:
    root = write_masks(tmp_path / "data", {"train": 6, "val": 2}, classes=4)
    for mask in (root / "valannot").iterdir():
        Image.fromarray(np.full((12, 20), 3, np.uint8)).save(mask)
    result = train(root, tmp_path / "r", 'schedule={"kind":"Plateau"}', epochs=2, monitor="miou")
    assert result.metrics["loss"] is None
    assert [e["message"] for e in events(tmp_path / "r") if e["event"] == "warning"] == [
        "No evaluation has a value of miou: the model is that of the last step."
    ]


def test_a_batch_is_of_one_image_where_no_norm_is_learnt(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "r", "model.norm=frozen", "batch=1", "bn_batch=none", epochs=1)
    assert [e["step"] for e in events(tmp_path / "r") if e["event"] == "evaluation"] == [6]


def test_statistics_computed_anew_leave_the_auxiliary_heads_as_they_are(data: Path, tmp_path: Path) -> None:
    networks = []
    for name, settings in (("given", ()), ("anew", ("precise_bn=8",))):
        train(data, tmp_path / name, *settings, epochs=1)
        networks.append(resnets.load(tmp_path / name).network.state_dict())
    given, anew = ({key: value for key, value in each.items() if "running" in key} for each in networks)
    unchanged = {key for key, value in given.items() if value.equal(anew[key])}
    assert unchanged == {"aux_classifier.1.running_mean", "aux_classifier.1.running_var"}


def test_a_model_is_tested_at_another_shorter_side_and_masks_keep_their_own_size(run: Path, data: Path) -> None:
    own, found = resnets.evaluate(run), resnets.evaluate(run, size=6)
    assert found.metrics["samples"] == own.metrics["samples"]
    assert found.loss != own.loss
    image = sorted(data.glob("val/*.png"))[0]
    answer = resnets.predict(run, image, size=6)[0]
    assert np.asarray(answer.mask).shape == np.asarray(Image.open(image)).shape[:2]
    with pytest.raises(UsageError, match="size is one number here, the shorter side"):
        resnets.evaluate(run, size=(6, 8))
