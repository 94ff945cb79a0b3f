"""The time budget of a run as it begins, is resumed and is read back: see `training.budget` for what it does."""

from __future__ import annotations

import gc
import os
from dataclasses import replace

from resnets.core.errors import UsageError
from resnets.reporting import charts
from resnets.training import agreement, checkpoint
from resnets.training.budget import RESERVE_SECONDS, TimeBudget
from resnets.training.build import arithmetic_of
from resnets.training.checkpoint import Saved
from resnets.training.distributed import Ranks
from resnets.training.length import PlannedLength
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log
from resnets.training.speed import measure
from resnets.training.used_time import read_used


def begun(plan: Plan, data: PreparedData, ranks: Ranks, started: float) -> tuple[TimeBudget | None, Plan]:
    """Returns the time budget of a run that begins, and its plan with the length that fits, the same on every rank.

    Without a time budget: None, and the plan as it is.

    Args:
        started: when the command began; see `core.clock`.

    Raises:
        UsageError: the time is too short for a useful run.
        DataError: a training sample cannot be read.
    """
    minutes = plan.recipe.minutes
    if minutes is None:
        return None, plan
    with arithmetic_of(plan):
        state = measure(plan, data, ranks)
    gc.collect()  # the network that was measured
    state = agreement.from_rank_0(ranks, lambda: state)
    budget = TimeBudget(minutes, state, started=started)
    length = agreement.from_rank_0(ranks, lambda: budget.first(plan.recipe, len(data.train)))
    return budget, replace(plan, lengths=(length,))


def resumed(
    plan: Plan, data: PreparedData, folder: RunFolder, ranks: Ranks, started: float, found: Saved | None
) -> tuple[TimeBudget | None, Plan]:
    """As `begun`, for a run that goes on from the checkpoint `found`, by the lengths that were planned before it.

    The end of each earlier process counts as `RESERVE_SECONDS`. A run that was cut off before its first checkpoint has
    all of its time again.

    An extension (`training.extension`) has a length in epochs, and no budget.
    """
    minutes = plan.recipe.minutes
    if minutes is None or plan.extensions:
        return None, plan
    if found is None or found.state.budget is None:
        return begun(plan, data, ranks, started)
    state = found.state.budget
    if ranks.is_main:
        charts.load()  # as `measure` did at the first start: the report at the end does not wait for it
    state = replace(state, used=max(state.used, read_used(folder.checkpoints)) + RESERVE_SECONDS)
    budget = TimeBudget(minutes, state, started=started)
    return budget, replace(plan, lengths=found.state.lengths)


def lengths_so_far(plan: Plan, folder: RunFolder) -> tuple[PlannedLength, ...]:
    """The planned lengths of a run with a time budget that has not finished; none of another run.

    Raises:
        UsageError: such a run has not begun.
    """
    if plan.recipe.minutes is None:
        return ()
    events = read_log(folder.log) if os.path.lexists(folder.log) else []
    logged = [
        PlannedLength(step=event["step"], total=event["total"], evaluate_every=event["evaluate_every"])
        for event in events
        if event["event"] == "plan"
    ]
    if logged and logged[0].step == 0:
        return tuple(logged)
    found = checkpoint.newest(folder.checkpoints, plan.sha256)
    if found is None:
        raise UsageError(f"The run in {folder.path} has no step yet.")
    return found.state.lengths
