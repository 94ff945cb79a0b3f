"""Overrides from a command line set what they name and nothing else, or are refused with the reason."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.config import encode, override
from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import (
    CutMix,
    RandomResizedCrop,
)
from resnets.models.spec import Spec
from resnets.training.recipe import AdamW, Recipe
from resnets.training.schedules import OneCycle, Step, Warmup
from tests.core.configs import ANY_JSON, DIGITS, WORDS


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("batch=32", "batch", 32),
        (" batch = 32 ", "batch", 32),
        ("name=007", "name", "007"),
        ("data=true", "data", "true"),
        ("data=/photos/a=b", "data", "/photos/a=b"),
        ("precision=bf16", "precision", "bf16"),
        ("ema=none", "ema", None),
        ("ema=.5", "ema", 0.5),
        ("clip_norm=1_000", "clip_norm", 1000.0),
        ("bn_batch=None", "bn_batch", None),
        ("optimizer.lr=3e-3", "optimizer.lr", 3e-3),
        ("optimizer.nesterov=False", "optimizer.nesterov", False),
        ("optimizer.decay_norms=true", "optimizer.decay_norms", True),
        ("optimizer=AdamW", "optimizer", AdamW()),
        ('optimizer={"kind": "AdamW", "lr": 0.5}', "optimizer", AdamW(lr=0.5)),
        ("schedule=onecycle", "schedule", OneCycle()),
        ("schedule=one_cycle", "schedule", OneCycle()),
        ("schedule=Step", "schedule", Step()),
        ("warmup=Warmup", "warmup", Warmup()),
        ('warmup={"epochs": 2}', "warmup", Warmup(epochs=2)),
        ("model.depths=[3, 3, 3]", "model.depths", (3, 3, 3)),
        ("model.output_stride=2", "model.output_stride", 2),
        ('augmentations.mix=[{"kind": "CutMix"}]', "augmentations.mix", (CutMix(),)),
        ("augmentations.crop=RandomResizedCrop", "augmentations.crop", RandomResizedCrop()),
        ("augmentations.transforms=[]", "augmentations.transforms", ()),
    ],
)
def test_an_override_sets_one_value_and_leaves_the_rest(assignment: str, path: str, value: object) -> None:
    changed = override(DIGITS, [assignment])
    *parents, name = path.split(".")
    found: Any = changed
    for parent in parents:
        found = getattr(found, parent)
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value)
    expected, place = encode(DIGITS), encode(changed)
    for parent in parents:
        expected, place = expected[parent], place[parent]
    assert {k for k in place if place[k] != expected[k]} <= {name}


def test_overrides_apply_in_turn() -> None:
    changed = override(
        DIGITS, ["schedule=Step", "schedule.factor=0.5", "schedule.milestones=[0.1]", "batch=2", "batch=4"]
    )
    assert (changed.schedule, changed.batch) == (Step(factor=0.5, milestones=(0.1,)), 4)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("batch", "'batch' is not a setting: write NAME=VALUE"),
        ("=3", "No setting is called ''"),
        ("bach=3", "No setting is called 'bach': did you mean batch"),
        ("optimizer.lrr=3", "No setting of optimizer is called 'lrr': did you mean lr"),
        ("optimizer.lr.x=3", "optimizer.lr.x: lr is 0.1 and has no settings of its own; set lr itself"),
        ("warmup.epochs=3", "warmup is None and has no settings of its own; set warmup=Warmup first"),
        ("batch=many", "^batch takes a whole number, not 'many'"),
        ("batch=3.5", "^batch takes a whole number, not 3.5"),
        ("batch=none", "^batch takes a whole number, not 'none'"),
        ("batch=1", "^batch: batch must be 2 or more"),
        ("optimizer.lr=fast", "^optimizer.lr takes a number, not 'fast'"),
        ("optimizer.lr=nan", "^optimizer.lr takes a number, not nan"),
        ("optimizer.lr=1e999", "^optimizer.lr takes a number, not inf"),
        ("optimizer.lr=" + "9" * 5000, "^optimizer.lr takes a number"),
        ("optimizer.nesterov=yes", "^optimizer.nesterov takes true or false, not 'yes'"),
        ("optimizer=Adam", "^optimizer takes SGD or AdamW or Muon or LAMB, not 'Adam'"),
        ("precision=fp16", "^precision takes 'auto' or 'fp32' or 'bf16', not 'fp16'"),
        ("model.depths=3", r"^model.depths takes a list such as \[1, 2\], not 3"),
        ("model.depths=[1, 1]", "^model.depths: depths .* need one number for each stage"),
        ("model.depths=" + "[" * 100_000, "^model.depths takes a list"),
        ('augmentations.crop={"kind": "RandomResizedCrop", "scale": [0.5, 2]}', "scale needs 0 < low <= high <= 1"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(DIGITS, [assignment])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=3), st.text() | ANY_JSON.map(json.dumps))
def test_no_override_raises_anything_but_a_usage_error(names: list[str], text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(override(DIGITS, [f"{'.'.join(names)}={text}"]), Recipe)


def test_a_whole_setting_replaces_what_was_set_in_it_before() -> None:
    assert override(DIGITS, ["optimizer.lr=0.5", "optimizer=AdamW"]).optimizer == AdamW()
    assert override(DIGITS, ["optimizer=AdamW", "optimizer.lr=0.5"]).optimizer == AdamW(lr=0.5)


def test_settings_that_are_only_possible_together_can_be_made_together() -> None:
    changed = override(Spec(), ["depths=[3]", "widths=[16]"])
    assert (changed.depths, changed.widths) == ((3,), (16,))
