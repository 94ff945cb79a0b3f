"""Which recipe `resnets train` takes, fitted to the data, and the plan that it prints: each choice with its reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from resnets.commands.arguments import find_recipe, find_spec
from resnets.commands.recipe_facts import data_facts, time_facts
from resnets.core.config import names_of
from resnets.core.console import note, printable
from resnets.core.errors import DataError, UsageError
from resnets.core.units import show_count
from resnets.data.split_settings import SplitSettings, parse_all_folds
from resnets.models.spec import Spec
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import Precision, Recipe

if TYPE_CHECKING:
    from resnets.artifacts.weights_facts import WeightsFacts
    from resnets.recipes.facts import Reason
    from resnets.tasks.catalog import AnyTask

DIGITS, CIFAR = ("digits", "digits/validation"), ("cifar10", "cifar100")  # data by name that have recipes of their own


@dataclass(frozen=True)
class RecipeChoice:
    """A recipe before the user's settings, and why it is as it is.

    Args:
        reasons: none for a recipe that no rule fits.
    """

    recipe: Recipe
    reasons: tuple[Reason, ...] = ()

    @property
    def longest(self) -> float | None:
        """The epochs after which more time is of no use; None where a time budget is used up.

        Weights that are trained already need as many as the rule says, and forget what they know in more.
        """
        learns_anew = self.recipe.name != "finetune" or self.recipe.fine_tuning == FineTuning()
        return self.recipe.epochs if self.reasons and not learns_anew else None

    def overrides(self, given: Iterable[str]) -> tuple[str, ...]:
        """The user's `given` overrides, with a rate for their batch where they have none."""
        if not self.reasons:
            return tuple(given)
        from resnets.recipes.rules import completed

        return completed(self.recipe, given)

    def plan(self, final: Recipe, given: Iterable[str] = ()) -> str:
        """The plan as it is printed, a line for each choice; "" where there is nothing to say.

        Args:
            final: the recipe with the user's settings.
            given: the user's overrides.
        """
        if not self.reasons:
            return ""
        names = names_of(given)
        width = max(len(topic) for topic, _ in self.reasons)
        lines = [
            f"  {topic:{width}}  {printable(_value(topic, final))}: {printable(self._why(topic, why, final, names))}"
            for topic, why in self.reasons
        ]
        return "\n".join(["the plan, which any setting changes:", *lines])

    def _why(self, topic: str, why: str, final: Recipe, given: set[str]) -> str:
        if _value(topic, final) == _value(topic, self.recipe):
            return why
        if topic == "rate" and not given & {"optimizer", "optimizer.lr"}:
            from resnets.recipes.rules import rate_for_batch

            before = self.recipe
            return f"{before.optimizer.lr:g} at batch {before.batch}, {rate_for_batch(before, final.batch)[1]}"
        if topic == "length" and final.epochs == self.recipe.epochs:
            return why  # minutes that it need not use up
        return "given"


def choose_recipe(
    recipe: str | PathLike[str] | Recipe | None,
    *,
    data: str | None,
    format: str | None,
    model: str | PathLike[str] | Spec | None,
    weights: str | None,
    minutes: float | None,
    device: str,
    precision: Precision | None,
    split: SplitSettings,
    task: AnyTask | None = None,
) -> RecipeChoice:
    """The recipe for these arguments of `train`.

    A recipe in a file, or from Python, is as it is. Where none is named, the data picks one. Those that have a rule
    (`recipes.rules`) are fitted to the data, where they are named too.

    Args:
        precision: None for that of the recipe.
        split: what is held out, so that it is not counted; of folds, one of them or all.
        task: that the settings ask for; None for that of the data.

    Raises:
        UsageError: there is no such recipe, none suits the data, or there are no weights to fine-tune.
        DataError: there is no such data, or it cannot be read.
    """
    named = None if recipe is None else find_recipe(recipe)
    if named is None and (data is None or data in DIGITS):
        return RecipeChoice(find_recipe("digits"))
    if named is None and data in CIFAR and weights is None:
        return RecipeChoice(find_recipe("fast/cifar10"))
    from resnets.artifacts.weights_facts import facts_of
    from resnets.data.folds import count_folds
    from resnets.data.splits import with_watched_split
    from resnets.recipes.facts import Reason
    from resnets.recipes.initial_weights import with_weights
    from resnets.recipes.rules import RULES, fitted

    if named is not None and (named.name not in RULES or recipe != named.name):
        return RecipeChoice(named)
    from resnets.modalities.catalog import open_dataset
    from resnets.recipes.catalog import default_for, is_for_photographs, suits_digits

    place = data or (named.data if named else "")
    splits = open_dataset(place, format)
    of_photographs, chosen = is_for_photographs(splits), named
    if not of_photographs and chosen is None:
        chosen = find_recipe(default_for(splits, place, task))
        note(f"The recipe for this data is {chosen.name}.")
    if (
        chosen is not None
        and not of_photographs
        and (chosen.name not in RULES or chosen.task.reads != splits.train.task)
    ):
        return RecipeChoice(chosen)
    facts = data_facts(splits)
    with contextlib.suppress(DataError, UsageError):  # raised when the data is split, with all settings
        if (folds := None if split.fold is None else parse_all_folds(split.fold)) is not None:
            split = replace(split, fold=f"1/{folds or count_folds(splits)}")
        facts = replace(facts, samples=len(with_watched_split(splits, place, split).train))
    if of_photographs and named is None and weights is None and suits_digits(facts):
        size = f"{facts.width} x {facts.height}"
        return RecipeChoice(find_recipe("digits"), (Reason("recipe", f"the images are grey, of {size} px (median)"),))
    of_weights, why = (None, "given") if weights is not None else _weights_at_hand(model, named)
    found = weights if of_weights is None else of_weights.source
    chosen = chosen or find_recipe("photos" if found is None else "finetune")
    chosen = replace(chosen, data=place, format=format, weights=found)
    if model is not None:
        chosen = replace(chosen, model=find_spec(model))
    if weights is not None:
        of_weights = facts_of(weights, None if model is None else chosen.model, recipe_model=chosen.model)
    if of_weights is not None and chosen.name == "finetune":
        chosen = replace(chosen, weights=of_weights.source)
        note(*of_weights.notes)
    elif of_weights is not None:
        chosen, lines = with_weights(chosen, of_weights, keeps_model=of_weights.spec == chosen.model)
        note(*lines)
    chosen, reasons = fitted(chosen, facts, of_weights, time_facts(minutes, device, precision or chosen.precision))
    first = Reason("recipe", "named" if named else f"weights are {why}" if found else why)
    if named is None and not of_photographs:
        first = Reason("recipe", f"the data is for {chosen.task.name}")
    given = () if model is None else ("model",)
    reasons = tuple(Reason(topic, "given" if topic in given else text) for topic, text in reasons)
    return RecipeChoice(chosen, (first, *((Reason("weights", why),) if found else ()), *reasons))


def _weights_at_hand(model: Any, named: Recipe | None) -> tuple[WeightsFacts | None, str]:
    """The weights where none are given, and why they, or none, are taken.

    Raises:
        UsageError: a recipe is named that needs weights, and there are none.
    """
    from resnets.artifacts.weights_facts import at_hand
    from resnets.modalities.cache import cache_folder

    if named is None and model is not None:  # weights at hand need not be of that network
        return None, "a network is given, and no weights"
    folder = f"{cache_folder()}/weights"
    found = None
    if named is None or named.name == "finetune":
        found = at_hand(None if model is None else find_spec(model), find_recipe("finetune").model)
    if named is not None and named.name == "finetune" and found is None:
        raise UsageError(
            f"finetune begins with weights, and none are given: give --weights FILE, or put a file into {folder}. "
            "Without weights: resnets train photos"
        )
    if found is None:
        return None, f"no weights are given, and none lie in {folder}"
    return found, f"found in {folder}"


def _value(topic: str, recipe: Recipe) -> str:
    """What a recipe has of a topic, in words."""
    match topic:
        case "model":
            return _name_of(recipe.model)
        case "weights":
            return str(recipe.weights)
        case "size":
            return _size_of(recipe)
        case "batch":
            return str(recipe.batch)
        case "rate":
            return f"{recipe.optimizer.lr:g} ({type(recipe.optimizer).__name__}, {type(recipe.schedule).__name__})"
        case "average":
            return _average_of(recipe)
        case "length":
            return _length_of(recipe)
        case "loss":
            return f"that of {recipe.task.name}"
        case _:
            return recipe.name


def _size_of(recipe: Recipe) -> str:
    height, width = recipe.largest_shape
    text = f"{width} px" if width == height else f"{width} x {height} px"
    first = recipe.augmentations.size_at(0.0)
    return text if first is None or first == width else f"{text}, crops grow from {first} px"


def _average_of(recipe: Recipe) -> str:
    if recipe.ema is not None:
        return f"EMA, decay {recipe.ema:g}"
    alpha = recipe.fine_tuning.wise_ft
    return f"{alpha:g} of the trained weights, {1 - alpha:.3g} of those before (WiSE-FT)" if alpha != 1 else "none"


def _length_of(recipe: Recipe) -> str:
    if recipe.epochs is not None:
        text = f"{recipe.epochs:g} epoch{'s' * (recipe.epochs != 1)}"
    else:
        text = "" if recipe.steps is None else show_count(recipe.steps, "step")
    if recipe.minutes is None:
        return text
    return f"{recipe.minutes:g} min{f', at most {text}' * bool(text)}"


def _name_of(spec: Spec) -> str:
    """The name of a network in the catalogue, else its depths; of one with the head of a task also the head."""
    from resnets.models.catalog import CATALOG

    own = _backbone(spec)
    for name, each in CATALOG.items():
        if _backbone(each) == own:
            return name if type(each.head) is type(spec.head) else f"{name} with {type(spec.head).__name__}"
    return f"a network of depths {list(spec.depths)}"


def _backbone(spec: Spec) -> dict[str, Any]:
    """The fields of a network that its data and task do not set."""
    set_by_data = ("classes", "channels", "norm", "head")
    return {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in set_by_data}
