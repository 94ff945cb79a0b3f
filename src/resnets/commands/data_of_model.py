"""The data that models are asked about: what they were trained on, or other data as their task reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.commands.data_in_memory import DataInMemory
from resnets.core.errors import DataError, UsageError
from resnets.core.urls import local_path

if TYPE_CHECKING:
    from resnets.artifacts.model import Model
    from resnets.modalities.base import DatasetSplits, SplitName


def open_data(
    models: Sequence[Model], data: str | Path | DataInMemory | None, format: str | None, split: SplitName | None
) -> tuple[str, DatasetSplits]:
    """What `--data` names, and its splits, of which those that the runs of `models` made are as they recorded them.

    Args:
        data: None is what the first of `models` was trained on.
        format: of the data; None finds it.
        split: that is asked for; None is the one that evaluation takes.

    Raises:
        UsageError: it is not known what the model was trained on, or the models held out different samples.
        DataError: the data is missing, or of another modality or task than the model.
    """
    from resnets.modalities.catalog import open_dataset
    from resnets.training.run_split import for_evaluation

    first = models[0]
    name = str(local_path(data, "data")) if data is not None else _training_data(first)
    if data is None and format is None:
        format = first.card.recipe.get("format")
    files = [each.file for each in models if each.card.recipe.get("data") == first.card.recipe.get("data")]
    splits = _adapted(open_dataset(name, format), name, first)
    return name, for_evaluation(splits, name, files, own=data is None, asked=split)


def _training_data(model: Model) -> str:
    """What the model was trained on: where its run has the data now, or the name in its file.

    Raises:
        UsageError: neither is known.
    """
    from resnets.training.plan import read_plan
    from resnets.training.run_folder import RunFolder

    run = RunFolder(model.file.parent) if model.file is not None else None
    name = read_plan(run.recipe).data if run is not None and run.recipe.exists() else model.card.recipe.get("data")
    if not isinstance(name, str):
        raise UsageError("The model file does not say what it was trained on: give --data.")
    return name


def _adapted(splits: DatasetSplits, name: str, model: Model) -> DatasetSplits:
    """The data `name` as the model's task reads it.

    Raises:
        DataError: it is of another modality, or for another task.
    """
    from resnets.modalities.base import NOUNS

    card, train = model.card, splits.train
    if train.modality != card.preprocessing.modality:
        raise DataError(f"{name} holds {NOUNS[train.modality]}s, and the model takes {card.preprocessing.noun}s.")
    if train.task != card.settings.reads:
        raise DataError(f"{name} is data for {train.task}, and the model is one of {card.task}.")
    return card.settings.adapt(splits)


_TRAINED_ON = (
    "The model was trained on these samples: they show what it remembers, and not what it will do with others."
)


def leak_of(models: Sequence[Model], name: str, splits: DatasetSplits, split: str) -> str | None:
    """What is to be said of samples that a model was trained on; None where that is not known of any.

    Args:
        name, splits: of the data, as of `open_data`.
        split: that is scored.
    """
    from resnets.training.run_split import history_on

    own = split == "train" and any(history_on(each.file, name) is not None for each in models)
    return _TRAINED_ON if own else splits.leak
