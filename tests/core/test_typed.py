"""Closed choices and numbers are checked where they come in: in every config and in every public function."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch

import resnets
from resnets.core.errors import UsageError
from resnets.core.signatures import type_hints
from resnets.core.typed import MAX_INT, conform, dataclasses_in, field_types, item_type, members_of
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.spec import Spec
from resnets.nn.middles import Middle
from resnets.recipes.catalog import RECIPES
from resnets.training.plan import CheckpointPolicy, Plan
from resnets.training.recipe import Recipe

FUNCTIONS = {name: getattr(resnets, name) for name in resnets.__all__ if inspect.isfunction(getattr(resnets, name))}


def configs(root: type) -> Iterator[type]:
    """`root` and every dataclass that a field of it can hold."""
    yield root
    for declared in field_types(root).values():
        for each in (*dataclasses_in(declared), *dataclasses_in(item_type(declared))):
            yield from configs(each)


CONFIGS = sorted({c for root in (Spec, Recipe, Preprocessing, CheckpointPolicy, Plan) for c in configs(root)}, key=str)


def wrong_for(declared: Any) -> Any:
    """A value of the right kind that the type does not take, or None where it takes all."""
    members = members_of(declared)
    if any(typing.get_origin(m) is Literal for m in members) and str not in members:
        return "no such choice"
    if float in members or int in members:
        return math.nan
    return 7 if str in members else None


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__name__)
def test_every_field_of_every_config_refuses_what_it_cannot_hold(config: type) -> None:
    for name, declared in field_types(config).items():
        wrong = wrong_for(declared)
        if wrong is None:
            continue
        # Other missing fields do not matter: a wrong value is refused first, or the value is not checked at all.
        others = {f.name: _any(f) for f in dataclasses.fields(config)}
        for value in (wrong, [], object()):
            if isinstance(value, list) and item_type(declared) is not None:
                continue
            with pytest.raises(UsageError, match=rf"^(middle\.)?{name} takes "):
                _build(config, _valid(config, others) | {name: value})


def _build(config: type, values: dict[str, Any]) -> None:
    built = config(**values)
    if isinstance(built, Middle):  # declared in nn, which checks nothing: the spec does
        Spec(block="bottleneck", middle=built)


def _any(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def _valid(config: type, found: dict[str, Any]) -> dict[str, Any]:
    """`found`, with what has no default as an example of its type."""
    recipe = RECIPES["digits"]()
    examples: dict[Any, Any] = {
        str: "cpu", int: 1, float: 1.0, bool: True, Recipe: recipe, Spec: recipe.model,
        Preprocessing: recipe.preprocessing, CheckpointPolicy: CheckpointPolicy(),
    }  # fmt: skip
    types_ = field_types(config)
    for name, value in found.items():
        if value is dataclasses.MISSING:
            declared = types_[name]
            if typing.get_origin(declared) is Literal:
                found[name] = get_args(declared)[0]
            elif known := [examples[each] for each in (declared, *get_args(declared)) if each in examples]:
                found[name] = known[0]
            else:
                from resnets.training import environment

                found[name] = environment.choose("cpu")
    return found


def cases() -> Iterator[tuple[str, str, Any]]:
    for name, function in FUNCTIONS.items():
        hints = type_hints(function, unloaded=object)
        for parameter in inspect.signature(function).parameters:
            declared = hints[parameter]
            wrong = wrong_for(declared)
            if wrong is not None and not any(each in (object, Any) for each in members_of(declared)):
                yield name, parameter, wrong


@pytest.mark.parametrize(("name", "parameter", "wrong"), list(cases()))
def test_every_public_function_refuses_it_too_before_anything_else(name: str, parameter: str, wrong: Any) -> None:
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for each in signature.parameters.values():
        value = wrong if each.name == parameter else "nowhere"
        if each.kind is each.POSITIONAL_ONLY or each.kind is each.VAR_POSITIONAL:
            positional.append(value)
        elif each.name == parameter:
            named[each.name] = wrong
        elif each.default is each.empty:
            known = {"step": 1, "recipe": RECIPES["digits"](), "network": torch.nn.Identity()}
            named[each.name] = known.get(each.name, value)
    with pytest.raises(UsageError, match=f"^{parameter} takes "):
        function(*positional, **named)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spec(gate="SE"), "gate takes 'none' or 'se' or .*, not 'SE': did you mean 'se'?"),  # type: ignore[arg-type]
        (lambda: Spec(norm="layer"), "norm takes 'batch' or 'frozen' or 'group' or 'none', not 'layer'."),  # type: ignore[arg-type]
        (lambda: Spec(shortcut="E"), "shortcut takes .*'D', not 'E'"),  # type: ignore[arg-type]
        (lambda: Spec(depths=("2",), widths=(8,)), r"depths\[0\] takes a whole number, not '2'"),  # type: ignore[arg-type]
        (lambda: Spec(classes=10**30), "classes takes a whole number, .*none beyond 9,223"),
        (lambda: resnets.evaluate("m", split="vla"), "split takes .*'test'"),  # type: ignore[arg-type]
        (lambda: resnets.train("digits", monitor="top-5"), "monitor takes .*did you mean 'top5'?"),  # type: ignore[arg-type]
        (lambda: resnets.describe("resnet18", precision="float32"), "precision takes .*did you mean 'fp32'?"),  # type: ignore[arg-type]
    ],
)
def test_the_message_has_the_choices_and_the_nearest(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        call()


def test_what_means_the_same_becomes_the_declared_type() -> None:
    spec = Spec(depths=[1, np.int64(1)], widths=np.array([8, 16]).tolist(), dropout=0, classes=np.uint8(3))  # type: ignore[arg-type]
    assert (spec.depths, spec.widths, spec.classes) == ((1, 1), (8, 16), 3)
    assert {type(n) for n in (*spec.depths, *spec.widths, spec.classes)} == {int}
    assert type(spec.dropout) is float
    assert hash(spec) == hash(dataclasses.replace(spec))
    assert conform(str, Path("x"), "here") == "x"
    assert conform(str | None, torch.device("cpu"), "here") == "cpu"


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (int, True), (int, 1.0), (int, MAX_INT + 1), (int, -MAX_INT - 1), (float, True), (float, "1"),
        (float, math.inf), (float, 10**400), (bool, 1),
        (str, b"x"), (str, 1), (tuple[int, ...], "12"), (tuple[int, ...], {1}),
        (tuple[float, float], (1.0,)), (Literal[1, 2], True), (Literal["a"], ["a"]), (Spec, {"classes": 3}),
        (int, "[" * 3 + "x" * 200),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_short_message(declared: Any, value: Any) -> None:
    with pytest.raises(UsageError, match=r"^here") as caught:
        conform(declared, value, "here")
    assert len(str(caught.value)) < 250


def test_a_value_that_python_cannot_show_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="not int too large to show"):
        conform(str, 10**5000, "here")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="not list too large to show"):
        conform(str, deep, "here")


@pytest.mark.parametrize(
    ("declared", "value", "found"),
    [
        (int, np.int64(3), 3),
        (int, np.array(3, np.uint8), 3),
        (int, torch.tensor(3), 3),
        (float, np.float32(0.5), 0.5),
        (float, np.float16(0.5), 0.5),
        (float, np.array(2), 2.0),
        (float | None, torch.tensor(0.25, dtype=torch.bfloat16), 0.25),
        (bool, np.bool_(True), True),
        (bool, np.array(False), False),
        (str, np.str_("a"), "a"),
        (str | None, np.array("a"), "a"),
        (Literal["a", "b"], np.str_("b"), "b"),
        (Literal[1, 2], np.int64(2), 2),
        (tuple[int, ...], np.array([1, 2]), (1, 2)),
        (tuple[int, ...], (np.int8(1), torch.tensor(2)), (1, 2)),
        (tuple[float, ...] | None, torch.tensor([0.5, 1.0]), (0.5, 1.0)),
    ],
)
def test_numbers_texts_and_arrays_of_numpy_and_torch_become_pythons_own(declared: Any, value: Any, found: Any) -> None:
    converted = conform(declared, value, "x")
    assert converted == found
    assert type(converted) is type(found)
    if isinstance(found, tuple):
        assert [type(each) for each in converted] == [type(each) for each in found]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (int, np.float64(3.0)),
        (int, np.bool_(True)),
        (int, np.array([3])),
        (float, np.complex64(1)),
        (float, np.array(np.inf)),
        (bool, np.int64(1)),
        (str, np.bytes_(b"a")),
        (str, np.array(["a"])),
        (tuple[int, ...], np.array([1.5])),
    ],
)
def test_those_of_another_kind_are_refused(declared: Any, value: Any) -> None:
    with pytest.raises(UsageError, match="x"):
        conform(declared, value, "x")


def test_arrays_stay_where_anything_is_taken() -> None:
    for value in (np.array(3), np.zeros(2), torch.zeros(2), np.str_("a")):
        assert conform(Any, value, "x") is value
