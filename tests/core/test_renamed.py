"""Names that changed, in files, on the command line, in Python and in the hash of a plan."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from resnets.core import renamed
from resnets.core.config import decode, encode, override
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields, stored
from resnets.core.typed import checked
from resnets.training.recipe import Recipe as TheRecipe


@dataclass(frozen=True, kw_only=True)
@checked
class RandomCrop:
    scale: float = 1.0


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class ScaledCrop:
    min_size: int = 256
    max_size: int = 480


@dataclass(frozen=True, kw_only=True)
class ProgressiveResize:
    start: int = 160


@dataclass(frozen=True, kw_only=True)
class Flip:
    p: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Cutout:
    size: int = 16


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Augmentations:
    crop: RandomCrop | ScaledCrop | None = None
    progressive_resize: ProgressiveResize | None = None
    transforms: tuple[Flip | Cutout, ...] = ()


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Recipe:
    """As the table has it, with fewer fields."""

    name: str = "a"
    augmentations: Augmentations = field(default_factory=Augmentations)
    batch: int = 64
    bn_batch: int | None = None
    cuda_graph: bool = False
    precise_bn: int = 0
    tta: str = "center"


OLD = {
    "name": "a",
    "views": {
        "crop": {"kind": "ScaledCrop", "sides": [300, 400]},
        "growth": {"start": 128},
        "augment": [{"kind": "Flip", "chance": 0.25}, {"kind": "Cutout", "size": 8}],
    },
    "batch": 64,
    "group": 32,
    "capture": True,
    "exact_statistics": 7,
    "test_view": "flip",
}
NEW = Recipe(
    augmentations=Augmentations(
        crop=ScaledCrop(min_size=300, max_size=400),
        progressive_resize=ProgressiveResize(start=128),
        transforms=(Flip(p=0.25), Cutout(size=8)),
    ),
    bn_batch=32,
    cuda_graph=True,
    precise_bn=7,
    tta="flip",
)


@pytest.mark.filterwarnings("error")
def test_a_file_with_old_keys_is_read_in_silence_and_written_with_new_ones() -> None:
    assert decode(Recipe, OLD) == NEW
    written = encode(NEW)
    assert written["augmentations"]["crop"] == {"kind": "ScaledCrop", "min_size": 300, "max_size": 400}
    assert set(written) == {f.name for f in dataclasses.fields(Recipe)}
    assert decode(Recipe, written) == NEW


def test_what_a_hash_is_taken_over_has_the_old_keys() -> None:
    assert encode(NEW, original=True) == OLD
    assert json.dumps(encode(decode(Recipe, OLD), original=True), sort_keys=True) == json.dumps(OLD, sort_keys=True)


def test_an_old_kind_is_read_and_hashed_as_such() -> None:
    @dataclass(frozen=True)
    class Holder:
        resize: ProgressiveResize | Cutout = Cutout()

    old = {"resize": {"kind": "Growth", "start": 8}}
    assert decode(Holder, old).resize == ProgressiveResize(start=8)
    assert encode(decode(Holder, old))["resize"]["kind"] == "ProgressiveResize"
    assert encode(decode(Holder, old), original=True) == old
    with pytest.raises(UsageError, match="resize: Growth is now ProgressiveResize"):
        override(Holder(), ['resize={"kind": "Growth"}'])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"group": 1, "bn_batch": 2}, "^group is the old name of bn_batch: give one of the two"),
        ({"views": {}, "augmentations": {}}, "^views is the old name of augmentations"),
        (
            {"views": {"crop": {"kind": "ScaledCrop", "sides": [1, 2], "max_size": 3}}},
            "^augmentations.crop.sides is the old name of augmentations.crop.max_size",
        ),
        (
            {"views": {"crop": {"kind": "ScaledCrop", "sides": [1]}}},
            r"^augmentations.crop.sides takes a list of 2 values, not \[1\]",
        ),
        (
            {"views": {"crop": {"kind": "ScaledCrop", "sides": 3}}},
            "^augmentations.crop.sides takes a list of 2 values, not 3",
        ),
        ({"gruop": 1}, "No setting of Recipe is called 'gruop'"),
        ({"group": "x"}, "^bn_batch takes a whole number or none, not 'x'"),
    ],
)
def test_what_an_old_file_says_twice_or_wrongly_is_refused(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decode(Recipe, data)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("group=32", "^group is now bn_batch: write bn_batch=32$"),
        ("views.crop=none", "^views is now augmentations: write augmentations.crop=none$"),
        (
            "views.crop.sides=[256, 480]",
            "^views is now augmentations, and sides is now min_size and max_size: write "
            "augmentations.crop.min_size=256 augmentations.crop.max_size=480$",
        ),
        ("augmentations.crop.sides=3", r"write augmentations.crop.min_size=... augmentations.crop.max_size=...$"),
        (
            "views.growth=Growth",
            "^views is now augmentations, and growth is now progressive_resize, and Growth is now ProgressiveResize: "
            "write augmentations.progressive_resize=ProgressiveResize$",
        ),
        ("views.growth.start=8", "write augmentations.progressive_resize.start=8$"),
        ("views.unheard.of=8", "^views is now augmentations: write augmentations.unheard.of=8$"),
        ('augmentations={"augment": []}', "^augmentations.augment is now augmentations.transforms"),
        ('augmentations.transforms=[{"kind": "Flip", "chance": 1}]', r"transforms\[0\].chance is now .*\[0\].p\.$"),
    ],
)
def test_the_command_line_takes_no_old_name_and_says_the_new_one(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(NEW, ["batch=8", assignment])


def test_python_takes_old_names_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"Recipe.group is now bn_batch") as caught:
        assert Recipe(group=32) == Recipe(bn_batch=32)  # type: ignore[call-arg]
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"ScaledCrop.sides is now min_size and max_size"):
        assert ScaledCrop(sides=(3, 4)) == ScaledCrop(min_size=3, max_size=4)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match=r"Recipe.views is now augmentations") as caught:
        assert NEW.views is NEW.augmentations  # type: ignore[attr-defined]
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="sides"):
        assert ScaledCrop(min_size=3, max_size=4).sides == (3, 4)  # type: ignore[attr-defined]


def test_an_old_name_replaces_a_field() -> None:
    with pytest.warns(DeprecationWarning, match=r"Recipe.group is now bn_batch") as caught:
        changed = dataclasses.replace(NEW, group=16)  # type: ignore[call-arg]
    assert changed == dataclasses.replace(NEW, bn_batch=16)
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="sides"):
        assert dataclasses.replace(ScaledCrop(), sides=(3, 4)) == ScaledCrop(min_size=3, max_size=4)  # type: ignore[call-arg]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_names_at_once_and_unknown_ones_are_errors() -> None:
    with pytest.raises(UsageError, match="Recipe: group is the old name of bn_batch"):
        Recipe(group=1, bn_batch=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unheard"):
        Recipe(unheard=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="'Recipe' object has no attribute 'unheard'"):
        NEW.unheard  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(NEW, "of")
    with pytest.raises(UsageError, match="bn_batch takes a whole number"):
        Recipe(group="many")  # type: ignore[call-arg]


@pytest.mark.filterwarnings("error")
def test_new_names_warn_of_nothing_and_copies_and_pickles_are_as_before() -> None:
    assert dataclasses.replace(NEW, batch=8).batch == 8
    assert copy.deepcopy(NEW) == NEW
    assert pickle.loads(pickle.dumps(NEW)) == NEW
    assert dataclasses.asdict(NEW)["bn_batch"] == 32
    assert hash(NEW) == hash(copy.copy(NEW))


FILES = Path(__file__).parents[1] / "compatibility" / "files"
RECIPES = [
    *(recipe for path in sorted(FILES.glob("*/recipes.json")) for recipe in json.loads(path.read_text()).values()),
    *(json.loads(path.read_text())["recipe"] for path in sorted(FILES.glob("*/*/recipe.json"))),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", RECIPES, ids=lambda content: content["name"])
def test_recipes_of_earlier_versions_keep_their_keys_in_hashes(content: dict[str, Any]) -> None:
    """Those that came later are beside them, and nothing else."""
    again = encode(decode(TheRecipe, content), original=True)
    assert set(again) - set(content) <= {"deterministic"}
    assert {key: again[key] for key in content} == content


def test_a_name_that_a_class_still_has_is_not_old() -> None:
    @dataclass(frozen=True)
    class Plan:
        keeping: int = 1
        checkpoints: int = 2

    assert not renamed.old_fields(Plan)
    assert not renamed.old_fields(Cutout)


def test_properties_and_methods_have_their_old_names_too() -> None:
    class Toy:
        def load(self) -> str:
            return "loaded"

    Toy.__name__ = "NetworkPredictor"
    toy: Any = renamed_fields(Toy)()
    with pytest.warns(DeprecationWarning, match="NetworkPredictor.see is now load"):
        assert toy.see() == "loaded"
    assert not hasattr(toy, "outputs")


def test_a_stored_object_without_its_types_is_asked_for_either_name() -> None:
    assert stored("Recipe", {"test_view": "flip"}, "tta") == "flip"
    assert stored("Recipe", {"tta": "shift", "test_view": "flip"}, "tta") == "shift"
    assert stored("Recipe", {"seed": 3}, "seed") == 3
    assert stored("Recipe", {}, "tta") is None
    assert stored("Unheard", {}, "of") is None
