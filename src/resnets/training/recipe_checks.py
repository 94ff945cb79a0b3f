"""Settings of a recipe that exclude one another, or do not fit the data: lengths, fine-tuning, soups and teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.core.errors import UsageError
from resnets.models.box_heads import BoxHead
from resnets.models.spec import Spec
from resnets.tasks.base import TaskSettings
from resnets.training.fine_tuning import FineTuning
from resnets.training.optimizer_settings import LAMB, SGD, AdamW, Muon

if TYPE_CHECKING:
    from resnets.modalities.base import SplitName
    from resnets.modalities.inputs import AnyInput

MAX_EPOCHS = 10**6
MAX_STEPS = 10**9
MAX_MINUTES = 10**6  # two years
MOST_INGREDIENTS = 100  # of a soup: each is a file as large as the model


def check_lengths(epochs: float | None, steps: int | None, minutes: float | None) -> None:
    """Raises UsageError where they are out of range, or give no length or two."""
    lengths = [epochs, steps].count(None)
    if lengths == 0 or (lengths == 2 and minutes is None):
        raise UsageError(f"Give epochs or steps, not both or neither (epochs {epochs}, steps {steps}).")
    if minutes is not None and not 0 < minutes <= MAX_MINUTES:
        raise UsageError(f"minutes must be above 0 and at most {MAX_MINUTES:,}, not {minutes:g}.")
    if epochs is not None and not 0 < epochs < MAX_EPOCHS:
        raise UsageError(f"epochs must be above 0 and below {MAX_EPOCHS:,}, not {epochs:g}.")
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise UsageError(f"steps must be from 1 to {MAX_STEPS:,}, not {steps:,}.")


def check_fine_tuning(
    settings: FineTuning,
    spec: Spec,
    optimizer: SGD | AdamW | Muon | LAMB,
    ema: float | None,
    precise_bn: int,
    *,
    cuda_graph: bool,
) -> None:
    """Raises UsageError where `settings` do not fit the others."""
    settings.check(spec)
    if settings.wise_ft != 1 and ema is not None:
        raise UsageError("fine_tuning.wise_ft and ema are two averages of the weights, and one is saved: give one.")
    if settings.layer_decay != 1 and isinstance(optimizer, Muon):
        raise UsageError("fine_tuning.layer_decay is for SGD, AdamW and LAMB: Muon has rates of its own.")
    if settings.unfreeze and cuda_graph:
        raise UsageError(
            "A CUDA graph computes the same at every step, and fine_tuning.unfreeze changes what learns: give one."
        )
    if precise_bn and (settings.freeze or settings.freeze_statistics):
        raise UsageError(
            "precise_bn computes batch norm's statistics anew, and fine_tuning keeps them: give precise_bn=0, or "
            "neither fine_tuning.freeze nor fine_tuning.freeze_statistics."
        )
    if precise_bn and isinstance(spec.head, BoxHead):
        raise UsageError("precise_bn is not for detectors, whose batch norm is frozen as a rule: give precise_bn=0.")


def check_initial(weights: str | None, settings: FineTuning, spec: Spec) -> None:
    """Raises UsageError where weights that nothing has trained would be averaged with, or kept under norms that change
    nothing."""
    if weights is None and settings.wise_ft != 1:
        raise UsageError(
            "fine_tuning.wise_ft averages with the weights that a run begins with, and these would be drawn: give "
            "--weights, or fine_tuning.wise_ft=1."
        )
    if weights is None and settings.freeze and spec.norm == "frozen":
        raise UsageError(
            "Without weights to begin with, the first layers would stay as they are drawn, and frozen norms change "
            "nothing: give --weights, or model.norm=group fine_tuning.freeze=0."
        )


def check_input(task: TaskSettings, settings: AnyInput) -> None:
    """Raises UsageError where a task does not fit its inputs."""
    if task.fixed != settings.fixed:
        raise UsageError(
            f"The task {task.name} does not fit inputs of {type(settings).__name__}: choose a recipe for it."
        )
    wanted, found = task.canvas_targets, getattr(settings, "targets", None)
    if wanted and found not in wanted:
        what = " with masks" if getattr(task, "masks", False) else ""
        raise UsageError(f"{task.name.capitalize()}{what} needs preprocessing.targets={wanted[0]}, not {found}.")


def check_single_label(task: TaskSettings, *, probe: bool, teacher: bool) -> None:
    """Raises UsageError where a task whose samples have not one class each is to have a probe or a teacher."""
    if probe and not task.single_label:
        raise UsageError(
            f"fine_tuning.head=probe fits the classes of samples that have one each, and this is {task.name}: "
            "give fine_tuning.head=drawn."
        )
    if teacher and not task.single_label:
        raise UsageError(
            f"A teacher is for samples that have one class each, and this is {task.name}: give teacher=none."
        )


def check_soup(soup: int, watched: SplitName | None = None) -> None:
    """Raises UsageError where `soup` is out of range, or cannot choose weights.

    Args:
        watched: the split that is evaluated while training, where that is known.
    """
    if not 0 <= soup <= MOST_INGREDIENTS:
        raise UsageError(f"soup must be from 0 to {MOST_INGREDIENTS}, not {soup}.")
    if soup and watched not in (None, "val"):
        raise UsageError(
            f"soup chooses weights on val, and the data has none, only {watched}, which would then say too much of "
            "them. Hold a share of the training samples out as val (--val-share 0.2), or give soup=0."
        )


def check_val(task: TaskSettings, watched: SplitName) -> None:
    """Raises UsageError where a setting of the task is chosen on `val`, and another split is evaluated in training."""
    if task.needs_val is not None and watched != "val":
        raise UsageError(
            f"{task.needs_val} is chosen on val, and the data has none, only {watched}. Hold a share of the training "
            "samples out as val: --val-share 0.2."
        )
