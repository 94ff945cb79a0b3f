"""The recipe that the arguments of `train` ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from resnets.commands.arguments import find_recipe, find_spec, input_size, size_range
from resnets.commands.recipe_choice import CIFAR, DIGITS, RecipeChoice, choose_recipe
from resnets.core.config import names_of
from resnets.core.console import note
from resnets.core.errors import UsageError
from resnets.core.urls import local_path
from resnets.data.split_settings import VAL_SHARE, SplitSettings, parse_all_folds
from resnets.models.spec import Spec
from resnets.tasks.balance import balance_of
from resnets.tasks.catalog import asked_for
from resnets.tasks.unknown import with_threshold
from resnets.training.distillation import Distillation
from resnets.training.recipe import Precision, Recipe
from resnets.training.size import NAMES, with_range, with_size


@dataclass(frozen=True, kw_only=True)
class AskedRecipe:
    """The recipe of a call of `train`, with its flags and without its settings, which come last.

    Args:
        choice: the recipe before any argument, and why it is as it is.
        as_it_is: whether the recipe is in a file or from Python, so that it says what is held out.
        flagged: with the flags.
        settings: of the call, such as "optimizer.lr=3e-3".
        folds: how many of them are trained, 0 where the data decides; None for a single run.
    """

    choice: RecipeChoice
    as_it_is: bool
    flagged: Recipe
    settings: tuple[str, ...]
    unknown_below: float | None = None
    accuracy: float | None = None
    large_batch: int | None = None
    folds: int | None = None

    def recipe(self, more: Sequence[str] = ()) -> Recipe:
        """The recipe with all that was asked for.

        Args:
            more: settings after those of the call, by which no recipe is chosen anew.

        Raises:
            UsageError: a setting is unknown or does not fit, or the recipe was chosen by one of `more`.
        """
        given = (*self.settings, *more)
        check_settings(given)
        fits = ("minutes", "val_share", "group_by", "holdout") if self.choice.reasons else ()
        chooses = {"data", "format", "weights", "fold", *fits}
        if named := sorted(names_of(more) & chooses):
            raise UsageError(f"The recipe depends on {named[0]}, so that no sweep is over it: train once for each.")
        recipe = self.flagged.with_overrides(self.choice.overrides(given))
        recipe = replace(recipe, task=with_threshold(recipe.task, self.unknown_below, self.accuracy))
        if not self.as_it_is and recipe.val_share is None and not recipe.holdout and not _trains_on_all(recipe):
            recipe = replace(recipe, val_share=VAL_SHARE)
        if self.large_batch is None:
            return recipe
        from resnets.recipes.large_batch import large_batch

        return large_batch(recipe, self.large_batch)

    def notes(self, recipe: Recipe) -> tuple[str, ...]:
        """Why `recipe` is as it is; empty where no rule has fitted it."""
        return (self.choice.plan(recipe, self.settings),) if self.choice.reasons else ()


def asked_recipe(
    recipe: str | PathLike[str] | Recipe | None,
    settings: tuple[str, ...],
    *,
    data: str | Path | None,
    format: str | None,
    model: str | PathLike[str] | Spec | None,
    weights: str | PathLike[str] | None,
    teacher: str | PathLike[str] | None,
    size: int | tuple[int, int] | str | None,
    epochs: float | None,
    minutes: float | None,
    val_share: float | None,
    group_by: str | None,
    fold: str | None,
    large_batch: int | None,
    memory_limit: str | None,
    seed: int | None,
    device: str,
    precision: Precision | None,
    balance: str | PathLike[str] | Mapping[str, float] | None,
    unknown_below: float | None,
    accuracy: float | None,
) -> AskedRecipe:
    """The recipe that arguments of `train`, which describes them, ask for.

    Raises:
        UsageError: a name or a value is wrong.
        DataError, FileError: the data or the weights are missing or damaged.
    """
    if unknown_below is not None and accuracy is not None:
        raise UsageError("accuracy chooses unknown_below: give one of them.")
    balanced = None if balance is None else balance_of(balance)
    settings, flags = _with_flags(
        settings, {"data": data, "format": format, "weights": weights, "minutes": minutes, "fold": fold}
    )
    data, format, weights, minutes, fold = flags.values()
    data = None if data is None else str(local_path(data, "data"))
    weights = None if weights is None else str(local_path(weights, "a file of weights"))
    folds = None if fold is None else parse_all_folds(fold)
    known = _known(settings, {"precision": precision, "val_share": val_share, "group_by": group_by, "holdout": 0})
    no_share = known["holdout"] or data in (*DIGITS, *CIFAR)
    split = SplitSettings(
        holdout=known["holdout"],
        val_share=(0.0 if no_share else VAL_SHARE) if known["val_share"] is None else known["val_share"],
        group_by=known["group_by"],
        fold=fold,
    )
    choice = choose_recipe(
        recipe, data=data, format=format, model=model, weights=weights, minutes=minutes, device=device,
        precision=known["precision"], split=split, task=asked_for(settings),
    )  # fmt: skip
    found = choice.recipe
    if folds is not None:
        fold = None  # each run has its own
    fields = {
        "data": data, "format": format, "balance": balanced, "seed": seed, "precision": precision,
        "memory_limit": memory_limit, "val_share": val_share, "group_by": group_by, "fold": fold,
    }  # fmt: skip
    for name, value in fields.items():
        if value is not None:
            found = replace(found, **{name: value})  # type: ignore[arg-type]
    if model is not None:
        found = replace(found, model=find_spec(model))
    if weights is not None and not choice.reasons:  # a fitted recipe has them
        found = _from_weights(found, weights, settings, named=model is not None)
    if teacher is not None:
        found = replace(found, teacher=Distillation(model=str(local_path(teacher, "a model"))))
    if size is not None:
        sizes = size_range(size)
        found = with_size(found, input_size(size)) if sizes is None else with_range(found, *sizes)
    if epochs is not None:
        found = found.with_length(epochs=epochs)
    if minutes is not None:
        found = found.with_length(epochs=choice.longest if epochs is None else epochs, minutes=minutes)
    return AskedRecipe(
        choice=choice,
        as_it_is=recipe is not None and recipe != choice.recipe.name,
        flagged=found,
        settings=settings,
        unknown_below=unknown_below,
        accuracy=accuracy,
        large_batch=large_batch,
        folds=folds,
    )


def _trains_on_all(recipe: Recipe) -> bool:
    """Whether nothing is held out of data that has a test, where no share is given: where others trained on all, whose
    numbers are compared, on data that comes with a test of its own and by the recipes of the paper and for speed."""
    return recipe.data in (*DIGITS, *CIFAR) or recipe.name.startswith(("digits", "paper/", "fast/"))


def _with_flags(settings: Sequence[str], flags: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The settings without those that `flags` has too, which choose and fit the recipe, and the flags with these.

    Raises:
        UsageError: one is given both ways, or twice.
    """
    rest, found = [], dict(flags)
    for each in settings:
        name, _, text = (part.strip() for part in each.partition("="))
        if name not in found or text.lower() == "none":
            rest.append(each)
        elif found[name] is not None:
            raise UsageError(f"{name} is given twice: {found[name]} and {text}.")
        else:
            found[name] = find_recipe("digits").with_overrides([each]).minutes if name == "minutes" else text
    return tuple(rest), found


def _known(settings: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """`flags` with what the settings, which come after them, say of the same.

    Raises:
        UsageError: a value is out of range.
    """
    own = [each for each in settings if each.partition("=")[0].strip() in flags]
    said = find_recipe("digits").with_overrides(own)
    return {**flags, **{name: getattr(said, name) for name in names_of(own)}}


def check_settings(settings: Sequence[str]) -> None:
    """Raises UsageError where a setting is the network or the size, which have flags of their own."""
    for name, _, value in (each.partition("=") for each in settings):
        if name.strip() == "model" and not value.lstrip().startswith("{"):
            raise UsageError(
                f"The network is no setting: give --model {value.strip()}, in Python model={value.strip()!r}."
            )
        if name.strip().lower() in NAMES:
            raise UsageError(f"The size is no setting: give --size {value.strip()}, in Python size={value.strip()!r}.")


def _from_weights(recipe: Recipe, weights: str, overrides: tuple[str, ...], *, named: bool) -> Recipe:
    """Returns `recipe` with the weights to start from, and prints what they say of themselves.

    Args:
        overrides: the user's settings, which may be of the network.
        named: whether the user names the network.

    Raises:
        FileError: the weights are missing, damaged or unsafe, or their network is not known.
        UsageError: there are none of that name.
    """
    from resnets.artifacts.weights_facts import facts_of
    from resnets.recipes.initial_weights import with_weights

    model = recipe.model
    with contextlib.suppress(UsageError):  # a setting that does not fit is refused later, with the network it is for
        model = recipe.with_overrides([each for each in overrides if each.startswith("model.")]).model
    facts = facts_of(weights, model if named else None, recipe_model=model)
    recipe, lines = with_weights(recipe, facts, keeps_model=facts.spec == model)
    note(*lines)
    return recipe
