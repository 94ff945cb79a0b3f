"""The kinds of problems: how bad each is, what it means, and the way out. Every check takes its kinds from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
ALWAYS = "check_failed"  # is reported whatever kinds were chosen


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Args:
        severity: "error" where training refuses the data or its result would be wrong, else "warning".
        meaning: what is wrong, in a line.
        way_out: what to do about it, in a line.
    """

    severity: Severity
    meaning: str
    way_out: str


def _error(meaning: str, way_out: str) -> Kind:
    return Kind("error", meaning, way_out)


def _warning(meaning: str, way_out: str) -> Kind:
    return Kind("warning", meaning, way_out)


KINDS: Mapping[str, Kind] = {
    "unreadable": _error("cannot be decoded", "replace it, or take it out"),
    "truncated": _error("its end is missing, as after an interrupted copy", "copy it anew, or take it out"),
    "empty_file": _error("has no bytes", "replace it, or take it out"),
    "too_large": _error("has more pixels than are decoded, or takes too much memory", "shrink it, or take it out"),
    "odd_mode": _warning("is stored in inks, in a palette or in 16 bits", "convert it to 8-bit RGB or grey"),
    "transparency": _warning("has transparent pixels, whose transparency is dropped",
                             "set preprocessing.background, or save it without"),
    "orientation": _warning("its metadata turns it; other programs may not", "save it upright"),
    "animation": _warning("has several frames or pages, of which the first is taken", "save the one that is meant"),
    "constant": _warning("is of one colour, or silent", "take it out"),
    "odd_size": _warning("is far smaller, narrower or longer than the others", "check whether it belongs to them"),
    "hidden": _warning("is hidden by its name, and left out", "rename it, or take it out"),
    "loose_file": _warning("lies in no class or no split, and is left out", "move it into a class, or take it out"),
    "not_an_image": _warning("does not have the ending of a sample, and is left out",
                             "take it out, or give it a usual ending"),
    "name_collision": _warning("differs from another name only in case, blanks or the form of its letters",
                               "rename one: some file systems hold only one of them"),
    "empty_class": _error("is a class without samples", "fill it, or take it out"),
    "small_class": _warning("is a class with a single sample to learn from", "add samples, or take it out"),
    "missing_class": _warning("is a class that one split has and another lacks", "add samples, or take it out"),
    "imbalance": _warning("the largest class has many times the samples of the smallest", "weigh or sample classes"),
    "duplicate": _warning("is the same as another sample of the split", "keep one of them"),
    "near_duplicate": _warning("is nearly the same as another sample", "keep one, or put both into one split"),
    "split_leak": _error("is the same as a sample of another split, so that scores are too good", "keep one of them"),
    "label_conflict": _error("is the same as a sample with another label", "correct the label, and keep one"),
    "group_leak": _error("is a group in two splits, so that scores are too good", "put each group into one split"),
    "missing_file": _error("is listed and does not exist", "put it there, or take its row out"),
    "missing_annotation": _error("has no mask or annotation", "add it, or take the image out"),
    "orphan_annotation": _error("is a mask or annotation without an image", "add the image, or take it out"),
    "unknown_class": _error("is a class that train does not have", "add it to train, rename it, or take it out"),
    "degenerate_box": _error("is a box without an area", "correct it, or take it out"),
    "outside_box": _warning("is a box that reaches out of its image", "cut it at the border"),
    "duplicate_box": _warning("is a box that is there twice", "keep one of them"),
    "tiny_box": _warning("is a box of a few pixels", "check whether it is meant"),
    "huge_box": _warning("is a box as large as its image", "check whether it is meant"),
    "mask_size": _error("has another size than its image", "save it at the image's size"),
    "mask_value": _error("has a value that is no class, or is no mask of class numbers",
                         "correct it, or say which value is ignored"),
    "bad_row": _error("is a row that cannot be used", "correct it, or take it out"),
    "check_failed": _error("could not be checked: a fault of this program", "report it, with the message"),
}  # fmt: skip
