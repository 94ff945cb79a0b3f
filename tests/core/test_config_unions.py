"""A field of several types takes the member that fits; one that gets a second dataclass keeps its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST, decode, encode, override
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.training.recipe import SGD, AdamW
from resnets.training.schedules import Constant, Cosine, Step, Warmup


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
