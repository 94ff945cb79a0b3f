"""The tasks: the union of their settings, and the runtime of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from resnets.core.config import is_called
from resnets.core.errors import UsageError, lookup
from resnets.tasks.classification.settings import Classify
from resnets.tasks.detection.settings import Detect
from resnets.tasks.localization.settings import Localize
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.regression.settings import Regress
from resnets.tasks.segmentation.settings import Segment

if TYPE_CHECKING:
    from resnets.tasks.base import Task, TaskSettings

# JSON names each by its class; a recipe and a model file without a kind have the first.
AnyTask = Classify | MultiLabel | Regress | Segment | Detect | Localize
SETTINGS: tuple[type[AnyTask], ...] = (Classify, MultiLabel, Regress, Segment, Detect, Localize)


def find(name: str) -> AnyTask:
    """The settings of the task called `name` in model files, at their defaults.

    Raises:
        UsageError: there is none; the message has the most similar names.
    """
    return lookup({each.name: each for each in SETTINGS}, name, "task")()


def asked_for(assignments: Iterable[str]) -> AnyTask | None:
    """The settings, at their defaults, of the task that the last of `assignments` to "task" names, such as
    "task=localization"; None where there is none, or no such task."""
    texts = [text.strip() for name, _, text in (each.partition("=") for each in assignments) if name.strip() == "task"]
    return next((each() for each in SETTINGS if texts and is_called(each, texts[-1])), None)


def has_classes(settings: TaskSettings) -> bool:
    """Whether the rows of the head of a task's network are classes."""
    return not {"labels", "masks"}.isdisjoint(settings.targets)


def for_data(name: str, settings: AnyTask) -> AnyTask:
    """The settings of a run on data for the task `name`: `settings`, or that task's defaults where no task was named.

    Args:
        name: `Dataset.task`.
        settings: of the recipe.

    Raises:
        UsageError: the recipe names another task.
    """
    if settings.reads == name:
        return settings
    if settings != SETTINGS[0]():
        raise UsageError(
            f"The data is for {name}, and the recipe's task is {settings.name}: choose a recipe for the data (resnets "
            f"recipes), or task={type(find(name)).__name__}."
        )
    return find(name)


def open_task(
    settings: AnyTask, *, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
) -> Task:
    """The task of `settings`, which imports torch.

    Args:
        label_smoothing: of the training loss.
        class_weights: of each class in the training loss; of multi-label classification, of its positive labels.

    Raises:
        UsageError: the task knows no label smoothing, or no weights of classes.
    """
    if isinstance(settings, MultiLabel):
        from resnets.tasks.multilabel.task import MultiLabelClassification

        return MultiLabelClassification(settings, label_smoothing=label_smoothing, positive_weights=class_weights)
    if isinstance(settings, Regress):
        from resnets.tasks.regression.task import Regression

        if label_smoothing:
            raise UsageError(
                f"label_smoothing={label_smoothing:g} is for classes: a regression takes label_smoothing=0."
            )
        if class_weights is not None:
            raise UsageError("A regression has no classes, and takes no weights of them.")
        return Regression(settings)
    if isinstance(settings, Segment):
        from resnets.tasks.segmentation.task import Segmentation

        return Segmentation(settings, label_smoothing=label_smoothing, class_weights=class_weights)
    if isinstance(settings, Detect):
        from resnets.tasks.detection.task import Detection

        if label_smoothing:
            raise UsageError(
                f"label_smoothing={label_smoothing:g} is for classes of whole samples: give label_smoothing=0."
            )
        if class_weights is not None:
            raise UsageError("Detection takes no weights of classes: leave balance out.")
        return Detection(settings)
    if isinstance(settings, Localize):
        from resnets.tasks.localization.task import Localization

        if class_weights is not None:
            raise UsageError("Localization takes no weights of classes: leave balance out.")
        return Localization(settings, label_smoothing=label_smoothing)
    from resnets.tasks.classification.task import Classification

    return Classification(settings=settings, label_smoothing=label_smoothing, class_weights=class_weights)
