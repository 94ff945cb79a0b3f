"""Localization through the one loop: train, resume, evaluate and predict, as users call them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main
from resnets.core.errors import DataError
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.tasks.localization.settings import Localize
from tests.modalities.image.box_files import Scene, Thing, write
from tests.training.cut import Cut, wait_for_checkpoints
from tests.training.runs import events, sha_of

MODEL = {
    "depths": [1, 1], "widths": [8, 8], "stem_width": 4, "head": {"kind": "LocalizationHead", "grid": 2, "hidden": 16},
}  # fmt: skip
SETTINGS = (
    f"model={json.dumps(MODEL)}", "preprocessing.resize=32", "preprocessing.crop=[32,32]", "batch=4", "bn_batch=2",
    "evaluate_every=1", "precision=fp32",
)  # fmt: skip
BOXES = [(4, 6, 30, 38), (10.5, 0, 60, 20.25), (20, 10, 44, 34), (0, 0, 60, 40), (2, 2, 22, 19)]


def scenes() -> Mapping[str, list[Scene]]:
    names = ("cat", "dog", "hen")
    every = [
        Scene(f"{n}", [Thing(names[n % 3], BOXES[(n + each) % 5]) for each in range(n % 2 + 1)]) for n in range(13)
    ]
    return {"train": every[:8], "val": every[8:]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), "voc", scenes())


def train(data: Path, out: Path, *settings: str, **options: Any) -> Any:
    options = {"epochs": 3, "checkpoint_steps": 2, **options}
    return resnets.train("localization/small", *SETTINGS, *settings, data=str(data), out=out, **options)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(data, out)
    return out


def test_a_run_is_evaluated_by_its_localization_error(run: Path) -> None:
    found = [e for e in events(run) if e["event"] == "evaluation"]
    assert len(found) == 3
    assert all(0 <= e["top5_localization_error"] <= 1 and e["loss"] > 0 and e["samples"] == 5 for e in found)
    assert "localization error" in (run / "report.html").read_text()


def test_a_run_that_was_cut_goes_on_to_the_same_bits(run: Path, data: Path, tmp_path: Path) -> None:
    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 4:
            raise Cut

    with pytest.raises(Cut):
        train(data, tmp_path / "cut", subscribers=(subscriber,))
    wait_for_checkpoints()
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(run)


def test_predictions_are_what_evaluation_scores(run: Path, data: Path, tmp_path: Path) -> None:
    truth = {scene.name: scene.things for scene in scenes()["val"]}
    files = [str(data / "JPEGImages" / f"{name}.jpg") for name in truth]
    for tta in ("center", "flip", "multi-scale"):
        answers = resnets.predict(run, files, top=3, tta=tta)
        hits = []
        for things, answer in zip(truth.values(), answers, strict=True):
            own = next(box for name, _, box in answer if name == things[0].name)
            hits.append(max(iou(own, thing.box) for thing in things) >= 0.5)
        scores = resnets.evaluate(run, data=str(data), split="val", tta=tta).metrics
        assert scores["given_class_localization_error"] == pytest.approx(1 - np.mean(hits))
        assert scores["top5_error"] == 0  # of three classes


def iou(a: Any, b: Any) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def test_the_command_answers_with_boxes_and_draws_them(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = data / "JPEGImages" / "9.jpg"
    assert main(["predict", str(run), str(image), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert {"name", "probability", "box"} == set(answer["classes"][0])
    assert main(["predict", str(run), str(image), "--out", str(tmp_path / "out")]) == 0
    (drawn,) = (tmp_path / "out").glob("*.drawn.jpg")
    with Image.open(drawn) as shown, Image.open(image) as original:
        assert shown.size == original.size
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(data), "--split", "val", "--out", str(tmp_path / "e")]) == 0
    assert "localization error" in capsys.readouterr().out
    header = (tmp_path / "e" / "predictions.csv").read_text().splitlines()[0]
    assert header == "image,label,predicted,left,top,right,bottom,iou"


def test_an_ensemble_of_equals_is_the_one(run: Path, data: Path) -> None:
    one, both = resnets.evaluate(run, data=str(data)), resnets.evaluate(run, run, data=str(data))
    for name in ("top5_localization_error", "given_class_localization_error", "top1_error"):
        assert both.metrics[name] == one.metrics[name]


def test_the_task_is_asked_for_by_its_name(data: Path, tmp_path: Path) -> None:
    settings = (*SETTINGS, "task=localization", "epochs=1")
    found = resnets.train(*settings, data=str(data), out=tmp_path / "r")
    recipe = json.loads((found.folder / "recipe.json").read_text())["recipe"]
    assert (recipe["name"], recipe["task"]["kind"]) == ("localization/small", "Localize")


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ([], r"Images without a box \(1\), such as .*bad\.jpg: for localization each image has a class"),
        ([Thing("cat", BOXES[0]), Thing("dog", BOXES[1])], r"boxes of several classes \(1\), such as .*\(cat, dog\)"),
    ],
    ids=["no box", "two classes"],
)
def test_data_of_another_kind_is_refused(things: list[Thing], said: str, tmp_path: Path) -> None:
    root = write(tmp_path, "voc", {"train": [*scenes()["train"], Scene("bad", things)]})
    with pytest.raises(DataError, match=said):
        Localize().adapt(open_dataset(str(root)))


def test_weights_of_a_classifier_are_a_start_and_known_classes_keep_their_rows(data: Path, tmp_path: Path) -> None:
    spec = resnets.Spec(depths=(1, 1), widths=(8, 8), stem_width=4, classes=4)
    network = resnets.create(spec, seed=5)
    file = tmp_path / "classifier.safetensors"
    resnets.save(network, file, classes=("hen", "owl", "cat", "dog"), preprocessing=Preprocessing(resize=36, crop=32))
    out = tmp_path / "r"
    train(data, out, "optimizer.lr=1e-12", weights=str(file), epochs=1)
    found = resnets.load(out).network.state_dict()
    order = [2, 3, 0]  # cat, dog, hen
    assert np.allclose(found["fc.weight"], network.state_dict()["fc.weight"][order], atol=1e-6)
    assert np.allclose(found["backbone.conv1.weight"], network.state_dict()["conv1.weight"], atol=1e-6)


def test_a_box_too_small_to_be_seen_keeps_the_class_of_its_image(tmp_path: Path) -> None:
    every = [Scene(f"{n}", [Thing(("cat", "dog")[n % 2], (20, 10, 20.6, 10.6))]) for n in range(16)]
    root = write(tmp_path / "data", "voc", {"train": every[:8], "val": every[8:]})
    train(root, tmp_path / "run", epochs=1)
    assert resnets.evaluate(tmp_path / "run").metrics["samples"] == 8
