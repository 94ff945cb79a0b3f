"""Model files of any task: the lowest format that can say what a model is, and what is wrong with a damaged one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from resnets.artifacts import model_file
from resnets.artifacts.model import Model, load
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import FileError, UsageError
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.heads import FCNHead
from resnets.models.spec import Spec
from resnets.nn.middles import SelectiveKernel
from resnets.tasks.catalog import open_task
from resnets.tasks.classification.settings import Classify
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.regression.settings import Regress
from resnets.tasks.segmentation.settings import Segment
from tests.artifacts.test_model_file import description_of, rewrite


def card_of(model: Model, kind: str) -> ModelCard:
    card = model.card
    small = replace(card.spec, classes=2)
    return {
        "several labels": replace(card, settings=MultiLabel(thresholds=(0.25,) * 7)),
        "a number": replace(card, settings=Regress(), spec=replace(small, classes=1), classes=("angle",)),
        "masks": replace(
            card, settings=Segment(ignore=11), spec=replace(card.spec, head=FCNHead()), preprocessing=Canvas()
        ),
        "sounds": replace(card, spec=replace(card.spec, channels=1), preprocessing=LogMel(seconds=0.5, rate=8000)),
        "a rectangle": replace(card, preprocessing=Preprocessing(resize=36, crop=(32, 40))),
        "a letterbox": replace(card, preprocessing=Preprocessing(resize=36, crop=32, fit="letterbox")),
        "a frozen norm": replace(card, spec=replace(card.spec, norm="frozen")),
    }[kind]


KINDS = ("several labels", "a number", "masks", "sounds", "a rectangle", "a letterbox", "a frozen norm")


def saved(model: Model, kind: str, path: Path) -> ModelCard:
    card = card_of(model, kind)
    state = open_task(card.settings).build(card.spec).state_dict()  # which is not initialised
    model_file.save(path, {name: torch.zeros_like(value) for name, value in state.items()}, card)
    return card


@pytest.mark.parametrize("kind", KINDS)
def test_what_format_1_cannot_say_is_of_format_2_and_comes_back(kind: str, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    card = saved(model, kind, path)
    found = description_of(path)
    assert (found["format"], found["task"]) == (2, card.settings.name)
    assert model_file.load(path)[1] == card
    assert load(path).card == card


def test_what_format_1_can_say_is_of_format_1(model: Model) -> None:
    assert model.card.settings == Classify()
    assert model.card.format == 1


def test_a_file_of_format_1_is_a_classifier_of_square_images_whatever_else_it_says(path: Path) -> None:
    rewrite(path, description_of(path) | {"settings": {"kind": "Segment"}})
    assert model_file.load(path)[1].settings == Classify()
    rewrite(path, description_of(path) | {"preprocessing": {"kind": "Canvas"}})
    with pytest.raises(FileError, match="No setting of preprocessing is called 'kind'"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": None}, "settings takes Classify or MultiLabel"),
        ({"settings": {"kind": "Segmnt"}}, 'settings takes "kind": Classify or'),
        (
            {"settings": {"kind": "Segment", "ignor": 1}},
            "setting of settings is called 'ignor': did you mean ignore",
        ),
        ({"settings": {"kind": "Regress"}}, "task is 'segmentation', and its settings are those of 'regression'"),
        ({"preprocessing": {"kind": "LogMel"}}, "preprocessing gives 1 channels, and the network takes 3"),
        ({"preprocessing": {"kind": "Canvas", "resize": -1}}, "resize"),
        ({"classes": ["a"]}, "there are 1 class names for 7 classes"),
        ({"task": "pose"}, "a model for 'pose', and this version of resnets only reads .*: upgrade resnets"),
        ({"format": 3}, "has format 3, and this version of resnets reads up to 2: upgrade resnets"),
        ({"format": 2.5}, "format 2.5 is unknown"),
        ({"spec": {"head": {"kind": "FCN"}}}, "spec.head"),
        ({"spec": {"head": {"kind": "LinearHead"}}}, "the network does not fit the task segmentation"),
        (
            {"task": "multi-label", "settings": {"kind": "MultiLabel"}},
            "Multi-label needs a linear head, and this model has FCNHead",
        ),
    ],
)
def test_a_damaged_description_is_refused_by_its_place(
    changes: dict[str, Any], message: str, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    saved(model, "masks", path)
    description = description_of(path)
    if "spec" in changes:
        changes = {"spec": {**description["spec"], **changes["spec"]}}
    rewrite(path, description | changes)
    with pytest.raises(FileError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_thresholds_of_other_classes_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved(model, "several labels", path)
    rewrite(path, description_of(path) | {"settings": {"kind": "MultiLabel", "thresholds": [0.5]}})
    with pytest.raises(FileError, match=r"m\.safetensors is damaged: .*thresholds has 1 values"):
        load(path)


def test_weights_of_another_head_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    card = card_of(model, "masks")
    model_file.save(path, model.network.state_dict(), card)
    with pytest.raises((FileError, UsageError), match=str(path)):
        load(path)


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        ({}, 1),
        ({"gate": "se"}, 1),
        ({"gate": "eca"}, 2),
        ({"gate": "cbam"}, 2),
        ({"gate": "gc"}, 2),
        ({"stem": "tiered"}, 2),
        ({"stem": "deep"}, 1),
        ({"stem_pool": "conv"}, 2),
        ({"antialias": "blur"}, 2),
        ({"standardized": True}, 2),
        ({"middle": SelectiveKernel()}, 2),
        ({"ibn": "a"}, 2),
        ({"norm": "frozen"}, 2),
    ],
)
def test_a_network_that_version_0_2_does_not_know_has_format_2(fields: dict[str, Any], format: int) -> None:
    spec = Spec(classes=2, **fields)
    assert ModelCard(spec=spec, classes=("a", "b"), preprocessing=Preprocessing()).format == format
