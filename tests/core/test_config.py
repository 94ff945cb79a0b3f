"""A config comes back from JSON as it went, and JSON that does not fit is refused by its place."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.spec import Spec
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import Step
from tests.core.configs import ANY_JSON, DIGITS, RECIPE, WORDS, preprocessings, specs


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
        (Recipe, recipe_with(optimizer={"lr": 0.1}), '^optimizer takes "kind": SGD or AdamW or Muon or LAMB, not None'),
        (
            Recipe,
            recipe_with(optimizer={"kind": "Adam"}),
            "^optimizer takes \"kind\": SGD or AdamW or Muon or LAMB, not 'Adam'",
        ),
        (
            Recipe,
            recipe_with(optimizer={"kind": []}),
            r'^optimizer takes "kind": SGD or AdamW or Muon or LAMB, not \[\]',
        ),
        (Recipe, recipe_with(optimizer="SGD"), "^optimizer takes SGD or AdamW or Muon or LAMB, not 'SGD'"),
        (Recipe, recipe_with(optimizer={"kind": "SGD", "beta1": 0.9}), "^No setting of optimizer is called 'beta1'"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_its_place(declared: type[object], data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        decode(declared, data)
    assert len(str(caught.value)) < 300


@settings(max_examples=300, deadline=None)
@given(st.sampled_from((Spec, Preprocessing, Recipe)), st.dictionaries(WORDS, ANY_JSON, max_size=8) | ANY_JSON)
def test_no_json_raises_anything_but_a_usage_error(declared: type[object], data: Any) -> None:
    base = encode(DIGITS) if declared is Recipe and isinstance(data, dict) else {}
    with contextlib.suppress(UsageError):
        assert isinstance(decode(declared, base | data if isinstance(data, dict) else data), declared)
