"""`resnets.create`: fields of the spec as arguments."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.models.spec import Spec
from resnets.nn.middles import SelectiveKernel

# Each field but the head, which has an argument of its own, with a value that is not ResNet-18's; together as they fit.
OTHER_FIELDS: tuple[dict[str, Any], ...] = (
    {
        "block": "bottleneck", "depths": (1, 1, 1), "widths": (8, 8, 8), "stem": "deep", "stem_width": 16,
        "preactivation": True, "shortcut": "D", "stride_in": "1x1", "groups": 2, "group_width": 32, "gate": "se",
        "gate_reduction": 4, "gate_divisor": 8, "activation": "gelu", "norm": "group", "norm_eps": 1e-3,
        "norm_momentum": 0.2, "dropout": 0.1, "drop_path": 0.1, "output_stride": 8, "pool": "max", "dimensions": 1,
        "channels": 2, "classes": 4, "standardized": True, "shares_first_activation": False,
    },
    {"stem_pool": "conv", "middle": SelectiveKernel()},
    {"antialias": "blur"},
    {"ibn": "a"},
)  # fmt: skip


@pytest.mark.parametrize("other", OTHER_FIELDS, ids=len)
def test_every_field_of_the_spec_is_an_argument(other: dict[str, Any]) -> None:
    network = resnets.create("resnet18", **other)
    for name, value in other.items():
        assert getattr(network.spec, name) == value, name
        assert getattr(Spec(), name) != value, name


def test_no_field_of_the_spec_is_left_out() -> None:
    assert {name for other in OTHER_FIELDS for name in other} == {each.name for each in fields(Spec)} - {"head"}


def test_a_field_that_is_unknown_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="drop_path"):
        resnets.create("resnet18", drop_paths=0.1)
