"""`resnets resume RUN --epochs +N`: a finished run trains N epochs more.

A warm restart (as in Loshchilov and Hutter 2017, 1608.03983, but at a lower learning rate): from the weights of the
run's last step, with a new optimiser, at a tenth of the peak learning rate, then down to the end of the recipe's
schedule. Steps are counted on, so that the order of the data, all random numbers and the log go on where they ended.
Each extension is a phase of the run; the plan lists them (recipe.json, `extensions`), and each begins with a checkpoint
of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from resnets.artifacts import model_file
from resnets.core.errors import FileError, UsageError
from resnets.training.averages import copies_for
from resnets.training.callbacks import goodness
from resnets.training.checkpoint import TrainState
from resnets.training.checkpoint_writer import Writer
from resnets.training.events import Event
from resnets.training.length import PlannedLength
from resnets.training.plan import Plan, write_plan
from resnets.training.recipe import Muon, Recipe
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log, whole_lines
from resnets.training.schedules import OneCycle

RESTART = 0.1  # of the peak learning rate
_MOST_EPOCHS = 1e6


@dataclass(frozen=True)
class Phase:
    """A part of a run with a schedule of its own: the run as it began, or one of its extensions.

    Args:
        recipe: of this phase alone.
        first_step: steps done before it.
        extends: whether it is an extension.
        planned: the lengths of a run with a time budget so far.
        stops: the steps after which patience ended this phase or another one.
    """

    recipe: Recipe
    first_step: int = 0
    extends: bool = False
    planned: tuple[PlannedLength, ...] = ()
    stops: tuple[int, ...] = ()

    def end(self, samples: int) -> int:
        """Returns the steps done when it has ended; `samples` is the size of the training set."""
        whole = self.planned[-1].total if self.planned else self.first_step + self.recipe.total_steps(samples)
        return next((step for step in self.stops if self.first_step < step <= whole), whole)


def parse_epochs(text: str) -> float:
    """Returns the N of "+N" epochs.

    Raises:
        UsageError: `text` is not of that form, or N is not above 0.
    """
    try:
        epochs = float(text[1:]) if text.startswith("+") and text[1:2].isdigit() else math.nan
    except ValueError:
        epochs = math.nan
    if not 0 < epochs < _MOST_EPOCHS:
        raise UsageError(f"epochs takes +N, for N epochs more, such as +10; not {text!r}.")
    return epochs


def phases_of(plan: Plan, samples: int) -> list[Phase]:
    """Returns the phases of a run over `samples` training samples, in order."""
    stops = plan.stopped_after
    phases = [Phase(plan.recipe, planned=plan.lengths, stops=stops)]
    for epochs in plan.extensions:
        phases.append(Phase(restarted(plan.recipe, epochs), phases[-1].end(samples), extends=True, stops=stops))
    return phases


def restarted(recipe: Recipe, epochs: float) -> Recipe:
    """Returns the recipe of a phase of `epochs` epochs that begins at `RESTART` times the peak rate, without warmup."""
    optimizer = recipe.optimizer
    if isinstance(optimizer, Muon):
        names = ("lr", "classifier_lr", "vector_lr")
        optimizer = replace(optimizer, **{name: RESTART * getattr(optimizer, name) for name in names})
    else:
        optimizer = replace(optimizer, lr=RESTART * optimizer.lr)
    schedule = recipe.schedule
    if isinstance(schedule, OneCycle):
        schedule = replace(schedule, peak=0.0)
    learning = replace(recipe.fine_tuning, unfreeze=(), head="drawn")  # what has begun to learn goes on
    changed = replace(recipe, optimizer=optimizer, schedule=schedule, warmup=None, fine_tuning=learning)
    return changed.with_length(epochs=epochs)


def extend(folder: RunFolder, plan: Plan, epochs: float, samples: int) -> Plan:
    """Adds an extension to a finished run: writes its first checkpoint, from the run's last model, then recipe.json.

    If the process ends in between, the run is still finished.

    Args:
        plan: as recipe.json has it.
        epochs: of the extension.
        samples: size of the training set.

    Returns:
        The plan with the extension.

    Raises:
        FileError: the last model is missing, damaged or of another run.
    """
    longer = replace(plan, extensions=(*plan.extensions, epochs))
    phase = phases_of(longer, samples)[-1]
    history = read_log(folder.log)
    end: Event = next((e for e in reversed(history) if e["event"] == "end"), {})
    state = TrainState(
        step=phase.first_step,
        log_bytes=whole_lines(folder.log),
        seconds=float(end.get("seconds", 0.0)),
        recipe_sha256=plan.sha256,
        best=_best(plan, history),
        skipped=int(end.get("skipped", 0)),
    )
    writer = Writer(folder.checkpoints, plan.checkpoints.keep)
    writer.write(_tensors(_last_model(folder, plan, history), plan), state)
    writer.wait()
    write_plan(folder.recipe, longer)
    return longer


def extended_event(phase: Phase, samples: int) -> Event:
    """Returns the event that an extension begins with in the log."""
    return {
        "event": "extension",
        "step": phase.first_step,
        "steps": phase.end(samples),
        "epochs": phase.recipe.epochs,
        "lr": phase.recipe.optimizer.lr,
    }


def _last_model(folder: RunFolder, plan: Plan, history: list[Event]) -> Path:
    """Returns the model of the run's last step: last.safetensors where it is kept, else model.safetensors.

    Raises:
        FileError: last.safetensors is gone, and model.safetensors is another model.
    """
    if plan.monitored is None and not plan.recipe.soup:
        return folder.model
    if folder.last.exists():
        return folder.last
    # Versions up to 0.2 wrote the model of the last step to model.safetensors, whether or not a metric was monitored.
    last: Event = next((event for event in reversed(history) if event["event"] == "evaluation"), {})
    metrics = model_file.load(folder.model)[1].metrics
    if any(metrics.get(name) != last.get(name) for name in (plan.headline.name, "loss")):
        raise FileError(
            f"{folder.last} is gone, and an extension goes on from it: {folder.model} is of an earlier step. "
            "Put a copy back."
        )
    return folder.model


def _tensors(model: Path, plan: Plan) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint with the weights of a model file and an optimiser that has not begun."""
    weights, card = model_file.load(model)
    if card.spec != plan.recipe.model:
        raise FileError(f"{model} is not the model of this run: its network is another. Put the run's own back.")
    state = {f"network.{name}": value for name, value in weights.items()}
    if copies_for(plan.recipe):
        state |= {f"average.{name}": value.clone() for name, value in weights.items()}
    return state | {"losses": torch.zeros(0)}


def _best(plan: Plan, history: list[Event]) -> tuple[float, ...] | None:
    """Returns the best evaluation in `history` by the monitored metric; see `TrainState.best`."""
    monitor = plan.monitored
    if monitor is None:
        return None
    evaluations = [goodness(monitor, event) for event in history if event["event"] == "evaluation"]
    return max((found for found in evaluations if found is not None), default=None)
