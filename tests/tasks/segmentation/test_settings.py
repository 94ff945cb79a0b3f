"""Settings of segmentation: the network and the data that they ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.core.config import decode, encode
from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import DatasetSplits, Subset
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.masks import open_masks
from resnets.models.catalog import find
from resnets.models.heads import FCNHead
from resnets.models.spec import Spec
from resnets.tasks.segmentation.settings import Segment
from tests.modalities.image.mask_folders import write_masks


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "resnet50d", "resnetv2_50"])
def test_a_plain_network_gets_the_head_and_a_stride_of_8(name: str) -> None:
    found = Segment().model_for(find(name), 11)
    assert found == replace(find(name), classes=11, head=FCNHead(), output_stride=8)
    assert found.stage_strides["C5"] == 8


def test_a_network_of_small_stride_keeps_it() -> None:
    found = Segment().model_for(find("cifar_resnet20"), 11)
    assert found == replace(find("cifar_resnet20"), classes=11, head=FCNHead())


def test_an_output_stride_and_a_head_that_are_given_stay() -> None:
    assert Segment().model_for(replace(find("resnet18"), output_stride=16), 3).output_stride == 16
    given = replace(find("resnet18"), head=FCNHead(auxiliary=True), classes=21)
    assert Segment().model_for(given, 3) == replace(given, classes=3)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Spec(depths=(1,), widths=(4,), dimensions=1), "network of images, and this one has 1 dimensions"),
        (Spec(depths=(1, 1), widths=(4, 4), dimensions=3), "has 3 dimensions"),
    ],
)
def test_networks_that_cannot_are_refused(spec: Spec, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Segment().model_for(spec, 3)


@pytest.mark.parametrize("settings", [{"ignore": 256}, {"ignore": -1}, {"auxiliary_weight": -0.1}])
def test_wrong_settings_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        Segment(**settings)


def test_settings_are_json_and_back() -> None:
    for settings in (Segment(), Segment(ignore=None), Segment(ignore=11, auxiliary_weight=0.4)):
        assert decode(Segment, encode(settings)) == settings


def test_what_is_ignored_is_no_class_of_any_split(tmp_path: Path) -> None:
    splits = open_masks(write_masks(tmp_path, {"train": 3, "val": 1}, classes=4))
    splits = replace(splits, splits={**splits.splits, "test": Subset(splits.train, np.array([2]))})
    adapted = Segment(ignore=3).adapt(splits)
    assert {each.classes for each in adapted.splits.values()} == {("0", "1", "2")}
    assert set(np.unique(adapted.split("test").target(0)["masks"])) == {0, 1, 2, 255}
    with pytest.raises(DataError, match="two are needed"):
        Segment(ignore=0).adapt(open_masks(write_masks(tmp_path / "two", {"train": 1}, classes=2)))


def test_other_data_stays() -> None:
    splits: DatasetSplits = digits(validation=False)
    assert Segment().adapt(splits) == splits
