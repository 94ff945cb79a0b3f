"""`resnets resume`."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.commands.command import Command, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.commands.training_run import Run, answer, finished_run
from resnets.core import clock
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_arguments
from resnets.core.signatures import checked_arguments
from resnets.core.urls import local_path
from resnets.training.events import Subscriber

if TYPE_CHECKING:
    from resnets.training.folds import FoldsPlan
    from resnets.training.run_folder import RunFolder


@renamed_arguments(listeners="subscribers")
@checked_arguments
@can_be_quiet
@takes_data_in_memory
def resume(
    run: str | PathLike[str],
    /,
    *,
    data: str | Path | DataInMemory | None = None,
    epochs: str | None = None,
    memory_limit: str | None = None,
    rank_timeout: float = 45.0,
    subscribers: tuple[Subscriber, ...] = (),
    quiet: bool = False,
) -> Run:
    """Continue an interrupted run, bit for bit, or train a finished one longer.

    Args:
        run: folder of the run, or of the runs of --fold all or --sweep, of which those that failed are tried again; in
            Python also a Run.
        data: where the run's data is now, if it was moved; it must be the same data. In Python also the data itself,
            where it was in memory.
        epochs: +N trains a finished run for N more epochs, from a tenth of its peak learning rate to the end of its
            schedule.
        memory_limit: such as 8GiB; blocks are recomputed in the backward pass (activation checkpointing) to keep
            within it. The result is the same.
        rank_timeout: seconds until ranks under torchrun give up on one that does not respond.
        subscribers: callables that get each event of the run; an exception in one is reported once and does not end
            the run.
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        The finished run; `was_finished` says that there was nothing left to do.

    Raises:
        UsageError: if there is no run in the folder, or an argument is wrong.
        DataError: if the data is missing or is not what the run began with.
        FileError: if the recipe or all checkpoints are damaged.
        TrainingError: if training cannot go on, or ends with a model of no use.

    Example:
        resnets.resume(run, epochs="+1").metrics["accuracy"]
    """
    from resnets.commands.sweep_runs import sweep_runs
    from resnets.modalities.in_memory import is_in_memory, require_same
    from resnets.training import runner
    from resnets.training.distributed import is_main, world_size
    from resnets.training.extension import parse_epochs
    from resnets.training.folds import read_folds
    from resnets.training.plan import read_plan
    from resnets.training.progress import watch_from_python
    from resnets.training.run_folder import RunFolder
    from resnets.training.sweep import read_sweep

    started = clock.command_start()
    folder = RunFolder(Path(run))
    folds, swept = read_folds(folder.path), read_sweep(folder.path)
    if (folds is not None or swept is not None) and world_size() > 1:
        raise UsageError("With several ranks, resume the runs one by one, and not those of folds or a sweep together.")
    if folds is not None:
        return _resumed_folds(folder.path, folds, data, epochs, memory_limit, rank_timeout, subscribers)
    if swept is None and not os.path.lexists(folder.recipe):
        raise UsageError(f"There is no run in {run}. Start one with: resnets train --out {run}")
    if is_in_memory(data):
        recorded = read_plan(folder.recipe).recipe if swept is None else swept.recipes[0]
        require_same(str(data), recorded.data, folder.path)
        data = None
    if swept is not None:
        if data is not None or epochs is not None or memory_limit is not None:
            raise UsageError(
                f"--data, --epochs and --memory-limit are for one run: resnets resume {folder.path}/run-1, and so on."
            )
        return sweep_runs(folder.path, swept, again=True)
    more = parse_epochs(epochs) if epochs is not None else None
    with watch_from_python(is_main()) as progress:
        scores = runner.resume(
            folder,
            data=None if data is None else str(local_path(data, "data")),
            epochs=more,
            memory_limit=memory_limit,
            rank_timeout=rank_timeout,
            subscribers=(*subscribers, *progress),
            started=started,
        )
    return _as_it_was(folder) if scores is None else finished_run(folder, scores)


def _resumed_folds(
    folder: Path,
    plan: FoldsPlan,
    data: object,
    epochs: str | None,
    memory_limit: str | None,
    rank_timeout: float,
    subscribers: tuple[Subscriber, ...],
) -> Run:
    """Goes on with the runs of all folds.

    Raises:
        UsageError: an argument is for a single run.
    """
    from resnets.commands.fold_runs import fold_runs
    from resnets.modalities.in_memory import is_in_memory, require_same

    if is_in_memory(data):
        require_same(str(data), plan.recipe.data, folder)
        data = None
    if data is not None or epochs is not None or memory_limit is not None:
        raise UsageError(
            f"--data, --epochs and --memory-limit are for one run: resnets resume {folder / 'fold-1'}, and so on."
        )
    return fold_runs(folder, plan, rank_timeout=rank_timeout, subscribers=subscribers)


def _as_it_was(folder: RunFolder) -> Run:
    """Returns the run in `folder`, which was finished already, with the metrics that its model file has, and with its
    problem where its model is of no use."""
    from resnets.artifacts import model_file
    from resnets.training.damage import DamageLog
    from resnets.training.endings import recorded_problem
    from resnets.training.plan import read_plan

    card = model_file.load(folder.model)[1]
    metrics = {"task": card.task, "data": read_plan(folder.recipe).data, **card.metrics}
    metrics["damaged"] = DamageLog(folder.path).by_path()
    return Run(folder.path, metrics, was_finished=True, noun=card.preprocessing.noun, problem=recorded_problem(folder))


COMMAND = Command(resume, answer, python_only=("subscribers", "quiet"))
