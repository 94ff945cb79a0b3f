"""Detection through the one loop: train, resume, ranks, micro-batches, evaluate and predict, as users call them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import resnets
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.recipes.catalog import find
from resnets.tasks.boxes import iou
from tests.forked_ranks import on_ranks
from tests.modalities.image.box_files import FORMATS, Format, Scene, Thing, write
from tests.training.cut import Cut, wait_for_checkpoints
from tests.training.runs import events, sha_of

HEAD = {
    "kind": "FasterRCNNHead",
    "pyramid": 8,
    "hidden": 16,
    "candidates": [40, 30],
    "proposals": [30, 20],
    "regions_per_image": 16,
    "min_score": 0.0,
}
MODEL = {"depths": [1, 1, 1, 1], "widths": [4, 4, 8, 8], "stem_width": 4, "norm": "frozen", "head": HEAD}
SETTINGS = (
    f"model={json.dumps(MODEL)}",
    "preprocessing.resize=40",
    "preprocessing.max_size=64",
    "preprocessing.crop=[64,64]",
    "augmentations.crop.min_size=32",
    "augmentations.crop.max_size=40",
    "batch=4",
    "evaluate_every=1",
    "precision=fp32",
)
BOXES = [(4, 6, 30, 38), (10.5, 0, 60, 20.25), (20, 10, 44, 34), (0, 0, 60, 40), (2, 2, 22, 19)]


def scenes() -> Mapping[str, list[Scene]]:
    """Images of three classes, of which each has other boxes, and one has none."""
    names = ("cat", "dog", "hen")
    things = [
        [Thing(names[(image + n) % 3], BOXES[(2 * image + n) % 5]) for n in range(image % 3 + 1)] for image in range(10)
    ]
    things[4] = []
    every = [Scene(f"{number}", each, id=number + 1) for number, each in enumerate(things)]
    return {"train": every[:7], "val": every[7:]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), "coco", scenes())


def train(data: Path, out: Path, *settings: str, **options: Any) -> Any:
    options = {"epochs": 3, "checkpoint_steps": 2, **options}
    return resnets.train("detection/small", *SETTINGS, *settings, data=str(data), out=out, **options)


def train_on_ranks(data: str, out: str, *settings: str) -> None:
    train(Path(data), Path(out), *settings, device="cpu")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(data, out)
    return out


def test_a_run_is_evaluated_by_ap_and_loss(run: Path) -> None:
    found = [e for e in events(run) if e["event"] == "evaluation"]
    assert len(found) == 3
    assert all(0 <= e["ap"] <= 1 and e["loss"] > 0 and e["samples"] == 3 for e in found)
    assert "AP50" in (run / "report.html").read_text()


def test_a_run_that_was_cut_goes_on_to_the_same_bits(run: Path, data: Path, tmp_path: Path) -> None:
    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 4:
            raise Cut

    with pytest.raises(Cut):
        train(data, tmp_path / "cut", subscribers=(subscriber,))
    wait_for_checkpoints()
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(run)


def test_from_weights_the_stem_and_the_first_stage_stay_and_the_rest_learns(data: Path, tmp_path: Path) -> None:
    torch.save(resnets.create("resnet18", seed=3).state_dict(), tmp_path / "weights.pth")
    resnets.train(
        "detection/small", *SETTINGS[1:], f"model.head={json.dumps(HEAD)}", data=str(data), epochs=1,
        weights=str(tmp_path / "weights.pth"), out=tmp_path / "r",
    )  # fmt: skip
    first = torch.load(tmp_path / "weights.pth")
    found = load_file(tmp_path / "r" / "model.safetensors")
    for name in ("conv1.weight", "layer1.0.conv2.weight"):
        assert torch.equal(found[f"backbone.body.{name}"], first[name])
    assert not torch.equal(found["backbone.body.layer2.0.conv1.weight"], first["layer2.0.conv1.weight"])


def test_workers_change_nothing(run: Path, data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "r", workers=0)
    assert sha_of(tmp_path / "r") == sha_of(run)


def losses_and_weights(run: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    losses = [e["loss"] for e in events(run) if e["event"] == "evaluation"]
    return losses, resnets.load(run).network.state_dict()


def assert_alike(found: Path, expected: Path) -> None:
    (found_losses, found_weights), (losses, weights) = losses_and_weights(found), losses_and_weights(expected)
    assert found_losses == pytest.approx(losses, rel=1e-4)
    for name, value in weights.items():
        torch.testing.assert_close(found_weights[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_micro_batches_are_the_whole_batch(run: Path, data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "r", "bn_batch=1")
    assert_alike(tmp_path / "r", run)


def test_ranks_are_one_process(run: Path, data: Path, tmp_path: Path) -> None:
    code, _, err = on_ranks(2, train_on_ranks, str(data), str(tmp_path / "r"))
    assert code == 0, err
    assert_alike(tmp_path / "r", run)


def test_answers_in_coco_json_are_those_that_are_scored(run: Path, data: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    scores = resnets.evaluate(run, data=str(data), split="val", out=tmp_path / "e")
    truth = COCO(str(data / "annotations" / "instances_val.json"))
    found = truth.loadRes(str(tmp_path / "e" / "coco.json"))
    peer = COCOeval(truth, found, "bbox")
    peer.evaluate()
    peer.accumulate()
    peer.summarize()
    assert scores.metrics["ap"] == pytest.approx(peer.stats[0], abs=1e-6)
    assert scores.metrics["ap50"] == pytest.approx(peer.stats[1], abs=1e-6)


def test_an_ensemble_of_equals_is_the_one(run: Path, data: Path) -> None:
    one, both = resnets.evaluate(run, data=str(data)), resnets.evaluate(run, run, data=str(data))
    for name in ("ap", "ap50", "ar100", "voc12_ap50"):
        assert both.metrics[name] == pytest.approx(one.metrics[name], abs=1e-9)
    assert both.metrics["loss"] is None


@pytest.mark.parametrize("tta", ["flip", "multi-scale"])
def test_other_views_of_an_image_add_boxes_and_none_twice(run: Path, data: Path, tta: str) -> None:
    assert resnets.evaluate(run, data=str(data), split="val", tta=tta).metrics["ap"] is not None
    image = data / "val" / "8.jpg"
    (plain,), (found,) = (resnets.predict(run, image, tta=each, max_boxes=100) for each in ("center", tta))
    assert len(found) > len(plain)
    for label in range(3):
        own = found.boxes[found.labels == label].astype(np.float64)
        assert (np.triu(iou(own, own), 1) <= 0.5 + 1e-6).all()
        assert (own >= 0).all()
        assert (own <= [60, 40, 60, 40]).all()


def test_an_image_that_fits_a_tile_is_answered_as_it_is_and_a_larger_one_in_parts(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = data / "val" / "8.jpg"
    (plain,), (found,) = resnets.predict(run, image), resnets.predict(run, image, tile=64)
    assert np.array_equal(found.boxes, plain.boxes)
    assert np.array_equal(found.scores, plain.scores)
    large = tmp_path / "large.png"
    with Image.open(image) as small:
        small.convert("RGB").resize((200, 130)).save(large)
    (found,) = resnets.predict(run, large, tile=64, overlap=0.25, max_boxes=1000)
    assert found.size == (130, 200)
    assert len(found) > 30  # more than one view gives
    assert main(["predict", str(run), str(large), "--tile", "64", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "large.drawn.jpg").exists()
    assert main(["predict", str(run), str(large), "--tile", "4"]) == 2
    assert "--tile takes 16 pixels or more, not 4" in capsys.readouterr().err


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_of_the_same_data_gives_the_same_scores(
    run: Path, data: Path, tmp_path: Path, format: Format
) -> None:
    expected = numbers(resnets.evaluate(run, data=str(data), split="val").metrics)
    other = write(tmp_path / format, format, scenes())
    found = numbers(resnets.evaluate(run, data=str(other), split="val").metrics)
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """All numbers below `metrics` by their dotted names, what is undefined as not a number."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in numbers(value).items()}
        else:
            found[name] = math.nan if value is None else value
    return found


def test_statistics_of_batch_norm_are_not_computed_anew() -> None:
    with pytest.raises(UsageError, match="precise_bn is not for detectors"):
        find("detection/small").with_overrides(["precise_bn=8", "fine_tuning.freeze=0"])
