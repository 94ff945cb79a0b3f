"""Which samples a recipe holds out, as frozen data: `resnets.data.splits` does so. Read without torch and NumPy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resnets.core.errors import UsageError

MAX_FOLDS = 1000
VAL_SHARE = 0.2
_FOLD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
_ALL = re.compile(r"all(?:/(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class SplitSettings:
    """What of a recipe decides which samples are held out.

    Args:
        holdout: number of training samples, drawn class by class, that replace the data's own `val`; 0 for none.
        val_share: how much of data without `val` is held out; None is a fifth where there is no `test` either. (The
            flag of `train` has another default, which it writes into the recipe.)
        group_by: a regular expression that finds each sample's group in its name; see `data.groups`.
        fold: such as "2/5", the part of all samples that is the split `test`; see `data.folds`.
    """

    holdout: int = 0
    val_share: float | None = None
    group_by: str | None = None
    fold: str | None = None

    def check(self) -> None:
        """Raises UsageError where a setting is out of range, or two exclude each other."""
        if self.holdout < 0:
            raise UsageError(f"holdout must be 0 or more, not {self.holdout}.")
        if self.val_share is not None and not 0 <= self.val_share < 1:
            raise UsageError(f"val_share must be from 0 to below 1, not {self.val_share:g}.")
        if self.group_by is not None:
            parse_group_by(self.group_by)
        if self.fold is not None:
            parse_fold(self.fold)
        if self.holdout and (self.val_share or self.group_by is not None or self.fold is not None):
            raise UsageError("holdout draws samples class by class: leave it out with val_share, group_by or fold.")


@dataclass(frozen=True)
class Fold:
    """Fold `number`, from 1, of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_fold(text: str) -> Fold:
    """The fold that a text such as "2/5" names.

    Raises:
        UsageError: it names none.
    """
    found = _FOLD.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"fold is a number of a count, such as 2/5, or all, not {text!r}.")
    fold = Fold(int(found[1]), int(found[2]))
    if not (2 <= fold.count <= MAX_FOLDS and 1 <= fold.number <= fold.count):
        raise UsageError(f"There is no fold {fold}: folds are from 1/N to N/N, for N from 2 to {MAX_FOLDS:,}.")
    return fold


def parse_all_folds(text: str) -> int | None:
    """How many folds "all" or "all/10" asks for; 0 where it leaves that to the data, None for another text.

    Raises:
        UsageError: the number is out of range.
    """
    found = _ALL.fullmatch(text.strip())
    if found is None:
        return None
    return parse_fold(f"1/{found[1]}").count if found[1] else 0


def parse_group_by(pattern: str) -> re.Pattern[str]:
    """The regular expression that `--group-by` gives.

    Raises:
        UsageError: it is none.
    """
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"group_by={pattern} is no regular expression of Python's: {error}.") from None
