"""Frozen data as JSON and back, and overrides from a command line."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST, decode, encode, override
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Color, Preprocessing, encode_mean_image
from resnets.modalities.image.transforms import (
    Affine,
    Augmentations,
    ColorJitter,
    CutMix,
    Flip,
    Mixup,
    PaddedCrop,
    RandomResizedCrop,
)
from resnets.models.initialization import Initialization
from resnets.models.spec import MOST_BLOCKS, MOST_CHANNELS, Spec
from resnets.recipes.catalog import RECIPES
from resnets.training.recipe import SGD, AdamW, Recipe
from resnets.training.schedules import Constant, Cosine, OneCycle, Plateau, Step, Warmup

DIGITS = RECIPES["digits"]()

share = st.floats(0, 1, exclude_max=True)
positive = st.floats(0, 1, exclude_min=True)
number = st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(1, 2**61)
channels = st.integers(1, MOST_CHANNELS // 2)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    stages = draw(st.integers(1, 5))
    depths, widths = (
        st.lists(st.integers(1, most), min_size=stages, max_size=stages).map(tuple)
        for most in (MOST_BLOCKS // 5, MOST_CHANNELS)
    )
    block = draw(st.sampled_from(("basic", "bottleneck")))
    grouped = {"groups": channels, "group_width": channels} if block == "bottleneck" else {}
    return draw(
        st.builds(
            Spec,
            block=st.just(block),
            depths=depths,
            widths=widths,
            stem_width=channels.map(lambda n: 2 * n),
            shortcut=st.sampled_from(("B", "C", "D")),
            gate_reduction=count,
            norm_eps=positive,
            norm_momentum=positive,
            dropout=share,
            drop_path=share,
            output_stride=st.none(),
            dimensions=st.just(2),
            channels=channels,
            classes=channels,
            **grouped,
        )
    )


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    color: Color = draw(st.sampled_from(get_args(Color)))
    channels = 1 if color == "L" else 3
    crop = draw(st.integers(1, 8))
    pixels = np.full((channels, crop, crop), draw(st.floats(0, 1)), np.float32)
    return Preprocessing(
        resize=draw(st.integers(crop, 16384)),
        crop=crop,
        interpolation=draw(st.sampled_from(("nearest", "bilinear", "bicubic"))),
        antialias=draw(st.booleans()),
        color=color,
        mean=tuple(draw(st.lists(number, min_size=channels, max_size=channels))),
        std=tuple(draw(st.lists(positive, min_size=channels, max_size=channels))),
        mean_image=draw(st.sampled_from((None, encode_mean_image(pixels)))),
    )


AUGMENTATIONS = st.builds(
    Augmentations,
    crop=st.sampled_from((None, RandomResizedCrop(), RandomResizedCrop(scale=(0.5, 0.5)))),
    transforms=st.lists(st.sampled_from((PaddedCrop(padding=2), Flip(), Affine(degrees=3), ColorJitter(hue=0.1)))).map(
        tuple
    ),
    mix=st.lists(st.sampled_from((Mixup(alpha=0.3), CutMix()))).map(tuple),
)
RECIPE = st.builds(
    Recipe,
    name=st.text(),
    data=st.text(),
    model=specs(),
    preprocessing=preprocessings(),
    augmentations=AUGMENTATIONS,
    batch=st.just(64),
    bn_batch=st.sampled_from((None, 16)),
    epochs=st.floats(0, 1e6, exclude_min=True, exclude_max=True),
    steps=st.none(),
    optimizer=st.builds(SGD, lr=positive, momentum=share) | st.builds(AdamW, lr=positive, eps=positive),
    schedule=st.sampled_from((Constant(), Cosine(final=0.1), OneCycle(), Plateau(patience=3), Step(milestones=()))),
    warmup=st.sampled_from((None, Warmup(epochs=1.14, shape="constant"))),
    label_smoothing=share,
    ema=st.none() | share,
    clip_norm=st.none() | positive,
    initialization=st.builds(Initialization),
    evaluate_every=positive,
    seed=st.integers(0, 2**63 - 1),
)


@settings(max_examples=100, deadline=None)
@given(specs() | preprocessings() | RECIPE)
def test_frozen_data_comes_back_from_json_as_it_went(value: Spec | Preprocessing | Recipe) -> None:
    text = json.dumps(encode(value), allow_nan=False)
    assert decode(type(value), json.loads(text)) == value


def test_json_names_the_kind_only_where_there_is_a_choice() -> None:
    data = encode(replace(DIGITS, optimizer=SGD(lr=0.5), schedule=Step(milestones=(0.25,)), warmup=None))
    assert data["optimizer"] == {
        "kind": "SGD", "lr": 0.5, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "decay_norms": True,
    }  # fmt: skip
    assert data["schedule"] == {"kind": "Step", "milestones": [0.25], "factor": 0.1}
    assert data["warmup"] is None
    assert "kind" not in data["model"]
    assert data["augmentations"]["transforms"][0]["kind"] == "Affine"


def test_what_json_leaves_out_has_its_default() -> None:
    assert decode(Spec, {}) == Spec()
    assert decode(Spec, {"norm_eps": 1}) == Spec(norm_eps=1.0)
    assert isinstance(decode(Spec, {"norm_eps": 1}).norm_eps, float)


def recipe_with(**changes: object) -> dict[str, Any]:
    return {**encode(DIGITS), **changes}


@pytest.mark.parametrize(
    ("declared", "data", "message"),
    [
        (Spec, {"depth": [1]}, "No setting of Spec is called 'depth': did you mean depths"),
        (Recipe, recipe_with(optimiser={}), "No setting of Recipe is called 'optimiser': did you mean optimizer"),
        (Recipe, recipe_with(model={"stem_widht": 3}), "No setting of model is called 'stem_widht'.*stem_width"),
        (Recipe, recipe_with(warmup={"kind": "Warmup"}), "No setting of warmup is called 'kind'"),
        (Recipe, {"name": "a"}, "^data is missing"),
        (Spec, [], r"^The value takes Spec, not \[\]"),
        (Spec, None, "^The value takes Spec, not None"),
        (Spec, {"classes": True}, "^classes takes a whole number, not True"),
        (Spec, {"classes": 10.0}, "^classes takes a whole number, not 10.0"),
        (Spec, {"classes": "10"}, "^classes takes a whole number, not '10'"),
        (Spec, {"norm_eps": True}, "^norm_eps takes a number, not True"),
        (Spec, {"norm_eps": math.nan}, "^norm_eps takes a number, not nan"),
        (Spec, {"norm_eps": math.inf}, "^norm_eps takes a number, not inf"),
        (Spec, {"norm_eps": 10**400}, "^norm_eps takes a number, not 1000"),
        (Spec, {"preactivation": 1}, "^preactivation takes true or false, not 1"),
        (Spec, {"block": "Basic"}, "^block takes 'basic' or 'bottleneck', not 'Basic'"),
        (Spec, {"block": ["basic"]}, "^block takes 'basic' or 'bottleneck'"),
        (Spec, {"depths": "1234"}, r"^depths takes a list such as \[1, 2\], not '1234'"),
        (Spec, {"depths": [1, 2.5]}, r"^depths\[1\] takes a whole number, not 2.5"),
        (Spec, {"output_stride": "8"}, "^output_stride takes a whole number or none, not '8'"),
        (Recipe, recipe_with(name=3), "^name takes a text, not 3"),
        (
            Recipe,
            recipe_with(augmentations={"crop": {"kind": "RandomResizedCrop", "scale": [0.5]}}),
            "^augmentations.crop.scale takes 2 values, not 1",
        ),
        (
            Recipe,
            recipe_with(augmentations={"transforms": [{"kind": "Flip"}, 3]}),
            r"^augmentations.transforms\[1\] takes PaddedCrop or",
        ),
        (Recipe, recipe_with(optimizer={"lr": 0.1}), '^optimizer takes "kind": SGD or AdamW or Muon, not None'),
        (
            Recipe,
            recipe_with(optimizer={"kind": "Adam"}),
            "^optimizer takes \"kind\": SGD or AdamW or Muon, not 'Adam'",
        ),
        (Recipe, recipe_with(optimizer={"kind": []}), r'^optimizer takes "kind": SGD or AdamW or Muon, not \[\]'),
        (Recipe, recipe_with(optimizer="SGD"), "^optimizer takes SGD or AdamW or Muon, not 'SGD'"),
        (Recipe, recipe_with(optimizer={"kind": "SGD", "beta1": 0.9}), "^No setting of optimizer is called 'beta1'"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_its_place(declared: type[object], data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        decode(declared, data)
    assert len(str(caught.value)) < 300


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
        ("optimizer=Adam", "^optimizer takes SGD or AdamW or Muon, not 'Adam'"),
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


WORDS = st.sampled_from(
    sorted(
        {*encode(DIGITS), *encode(Spec()), *encode(SGD()), *encode(Preprocessing()), *encode(Augmentations()), "kind"}
    )
)
VALUES = st.sampled_from(["SGD", "AdamW", "Step", "Flip", "basic", "bottleneck", "deep", "L", "fp32", "", "AAAA"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.sampled_from((2**64, 10**400)) | st.floats() | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from((Spec, Preprocessing, Recipe)), st.dictionaries(WORDS, ANY_JSON, max_size=8) | ANY_JSON)
def test_no_json_raises_anything_but_a_usage_error(declared: type[object], data: Any) -> None:
    base = encode(DIGITS) if declared is Recipe and isinstance(data, dict) else {}
    with contextlib.suppress(UsageError):
        assert isinstance(decode(declared, base | data if isinstance(data, dict) else data), declared)


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


@dataclass(frozen=True)
class Mixed:
    """Types that no recipe has yet but the module promises."""

    size: int | Literal["auto"] = "auto"
    shape: tuple[int, ...] | int = 1
    inner: SGD | str = "none"
    level: Literal[1, 2] = 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("size=3", Mixed(size=3)), ("shape=[1,2]", Mixed(shape=(1, 2))), ("inner=sgd", Mixed(inner=SGD()))],
)
def test_a_union_takes_the_member_that_fits(text: str, value: Mixed) -> None:
    changed = override(Mixed(), [text])
    assert changed == value
    assert decode(Mixed, json.loads(json.dumps(encode(changed)))) == value


def test_a_choice_among_numbers_takes_no_truth_value() -> None:
    assert decode(Mixed, {"level": 2}).level == 2
    for data in (True, 1.0):
        with pytest.raises(UsageError, match=r"^level takes 1 or 2, not"):
            decode(Mixed, {"level": data})


@dataclass(frozen=True)
class Before:
    """A config of an earlier version, when each field held one dataclass."""

    input: Preprocessing = field(default=Preprocessing())
    warmup: Warmup | None = None
    stages: tuple[Step, ...] = (Step(),)
    optimizer: SGD | AdamW = field(default=SGD())


@dataclass(frozen=True)
class After:
    """The same config with a second dataclass in each field, and fields that came later."""

    input: Preprocessing | Cosine = field(default=Preprocessing(), metadata=UNTAGGED_FIRST)
    warmup: Warmup | Cosine | None = field(default=None, metadata=UNTAGGED_FIRST)
    stages: tuple[Step | Cosine, ...] = field(default=(Step(),), metadata=UNTAGGED_FIRST)
    optimizer: SGD | AdamW = field(default=SGD())
    task: Constant | Cosine = field(default=Constant(), metadata=OMITTED_BY_DEFAULT)
    extras: tuple[str, ...] = field(default_factory=tuple, metadata=OMITTED_BY_DEFAULT)
    late: Step | Cosine = field(default=Step(), metadata=OMITTED_BY_DEFAULT | UNTAGGED_FIRST)


@pytest.mark.parametrize(
    "before",
    [
        Before(),
        Before(Preprocessing(crop=8), Warmup(epochs=2), (Step(factor=0.5), Step(milestones=(0.1,))), AdamW(lr=0.5)),
    ],
)
def test_a_field_that_gets_a_second_dataclass_keeps_its_json(before: Before) -> None:
    text = json.dumps(encode(before), sort_keys=True)
    after = decode(After, json.loads(text))
    assert after == After(before.input, before.warmup, before.stages, before.optimizer)
    assert json.dumps(encode(after), sort_keys=True) == text


def test_only_another_than_the_first_says_its_kind_there() -> None:
    after = After(Cosine(), Cosine(final=0.1), (Step(), Cosine()), AdamW(), Cosine(), ("a",), Step(factor=0.2))
    data = encode(after)
    assert data["input"] == data["task"] == {"kind": "Cosine", "final": 0.0}
    assert data["warmup"] == {"kind": "Cosine", "final": 0.1}
    assert ["kind" in stage for stage in data["stages"]] == [False, True]
    assert data["optimizer"]["kind"] == "AdamW"
    assert data["extras"] == ["a"]
    assert "kind" not in data["late"]
    assert decode(After, json.loads(json.dumps(data))) == after
    assert decode(After, {"input": {"kind": "Preprocessing", "crop": 8}}).input == Preprocessing(crop=8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"task": {}}, '^task takes "kind": Constant or Cosine, not None'),
        ({"optimizer": {"lr": 1}}, '^optimizer takes "kind": SGD or AdamW, not None'),
        ({"input": {"kind": None}}, '^input takes "kind": Preprocessing or Cosine, not None'),
        ({"input": {"final": 1}}, "^No setting of input is called 'final'"),
        ({"stages": [{"kind": "Warmup"}]}, r'^stages\[0\] takes "kind": Step or Cosine'),
    ],
)
def test_a_kind_may_be_missing_only_where_files_without_one_can_be(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decode(After, data)


def test_overrides_reach_a_field_that_got_a_second_dataclass() -> None:
    assert override(After(), ["input.crop=8"]).input == Preprocessing(crop=8)
    assert override(After(), ['input={"crop": 8}']).input == Preprocessing(crop=8)
    assert override(After(), ["input=Cosine", "input.final=0.5"]).input == Cosine(final=0.5)
    assert override(After(), ["stages=[{}]"]).stages == (Step(),)


def test_what_stands_in_no_field_says_its_kind_by_the_same_rule() -> None:
    declared: Any = Preprocessing | Cosine
    for metadata, tagged in (({}, True), (UNTAGGED_FIRST, False)):
        data = encode(Preprocessing(crop=8), declared, metadata)
        assert ("kind" in data) is tagged
        assert decode(declared, data, "", metadata) == Preprocessing(crop=8)
