"""The settings of detection, and what limits the boxes of an answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import DatasetSplits, Subset
from resnets.models.box_heads import FasterRCNNHead
from resnets.models.spec import Spec
from resnets.tasks.box_limits import with_box_limits
from resnets.tasks.classification.settings import Classify
from resnets.tasks.detection.settings import Detect

CLASSES = ("ant", "bee", "cat")
SPEC = Spec(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), stem_width=8, classes=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": (0.5, 1.5)}, "from 0 to 1, not 1.5"),
        ({"precision": 0.0}, "such as 0.9"),
        ({"precision": 0.9, "thresholds": (0.5,)}, "not both"),
        ({"min_score": 1.0}, "below 1"),
        ({"max_boxes": 0}, "1 or more"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detect(**settings)


def test_the_settings_follow_the_model_and_the_data() -> None:
    assert Detect().model_for(SPEC, 5).classes == 5
    masks = Detect(masks=True).model_for(SPEC, 5)
    assert isinstance(masks.head, FasterRCNNHead)
    assert masks.head.masks
    with pytest.raises(UsageError, match=r"has masks: give task\.masks=true"):
        Detect().model_for(masks, 5)
    with pytest.raises(UsageError, match="2 values, and the data 3 classes"):
        Detect(thresholds=(0.5, 0.5)).model_for(SPEC, 3)
    data: Any = SimpleNamespace(classes=CLASSES, category_ids=(1, 5, 90))
    assert Detect().for_data(Subset(data, np.arange(1))).category_ids == (1, 5, 90)
    assert Detect().for_data(SimpleNamespace(classes=CLASSES)).category_ids == (1, 2, 3)  # type: ignore[arg-type]
    fitted = Detect(thresholds=(0.5,) * 3, category_ids=(1, 5, 90), masks=True)
    assert fitted.for_other_classes() == Detect(masks=True)
    assert (Detect(precision=0.9).needs_val, Detect().needs_val) == ("task.precision", None)
    with pytest.raises(DataError, match="needs data with masks of objects"):
        Detect(masks=True).adapt(DatasetSplits({"train": SimpleNamespace(task="detection")}))  # type: ignore[dict-item]
    whole: Any = SimpleNamespace(masked=lambda: SimpleNamespace())
    splits = DatasetSplits({"train": Subset(whole, np.arange(1)), "val": Subset(whole, np.arange(1, 2))})
    train, val = Detect(masks=True).adapt(splits).splits.values()
    assert isinstance(train, Subset)
    assert isinstance(val, Subset)
    assert train.dataset is val.dataset is not whole  # so that folds can put them together
    assert Detect().adapt(splits) is splits


def test_limits_of_boxes_are_for_boxes() -> None:
    limited = with_box_limits(Detect(precision=0.9), 2, min_score=0.25, draw_score=0.75, max_boxes=3)
    assert limited == Detect(min_score=0.25, max_boxes=3, thresholds=(0.75, 0.75))
    assert with_box_limits(Classify(), 2) == Classify()
    with pytest.raises(UsageError, match="for boxes, not for classification"):
        with_box_limits(Classify(), 2, draw_score=0.5)
    with pytest.raises(UsageError, match="from 0 to 1, not 2"):
        with_box_limits(Detect(), 2, draw_score=2)
