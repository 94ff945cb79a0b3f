"""The tasks: a line each here, in the union of their settings."""

from __future__ import annotations

from typing import get_args

from resnets.core.errors import lookup
from resnets.tasks.base import TaskSettings
from resnets.tasks.classification.settings import Classify

AnyTask = Classify  # JSON names each by its class; a recipe and a model file without one are of the first
TASKS: dict[str, TaskSettings] = {each.name: each() for each in get_args(AnyTask) or (AnyTask,)}


def find(name: str) -> TaskSettings:
    """The settings of the task called `name` in model files, at their defaults.

    Raises:
        UsageError: there is none; the message has the most similar names.
    """
    return lookup(TASKS, name, "task")
