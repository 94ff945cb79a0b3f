"""The tasks: the union of their settings, and the runtime of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.core.errors import lookup
from resnets.tasks.base import TaskSettings
from resnets.tasks.classification.settings import Classify

if TYPE_CHECKING:
    from resnets.tasks.base import Task

AnyTask = Classify  # JSON names each by its class; a recipe and a model file without a kind have the first
SETTINGS: tuple[type[AnyTask], ...] = (Classify,)


def find(name: str) -> TaskSettings:
    """The settings of the task called `name` in model files, at their defaults.

    Raises:
        UsageError: there is none; the message has the most similar names.
    """
    return lookup({each.name: each for each in SETTINGS}, name, "task")()


def for_data(name: str) -> AnyTask:
    """The settings of the task that a dataset is for, `Dataset.task`, at their defaults."""
    return next(each for each in SETTINGS if each.name == name)()


def open_task(settings: AnyTask, *, label_smoothing: float = 0.0) -> Task:
    """The task of `settings`, which imports torch.

    Args:
        label_smoothing: of the training loss.

    Raises:
        UsageError: the task knows no label smoothing.
    """
    from resnets.tasks.classification.task import Classification

    return Classification(settings=settings, label_smoothing=label_smoothing)
