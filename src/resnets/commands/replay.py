"""`resnets replay`."""

from __future__ import annotations

import dataclasses
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.commands.command import Answer, Command, Invocation
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.core.console import printable
from resnets.core.errors import UsageError
from resnets.core.lazy import LazyModule
from resnets.core.renamed import with_old_keys
from resnets.core.signatures import checked_arguments

if TYPE_CHECKING:
    from resnets.training import diagnosis
else:
    diagnosis = LazyModule("resnets.training.diagnosis")


@checked_arguments
@takes_data_in_memory
def replay(run: str | PathLike[str], /, *, step: int, data: DataInMemory | None = None) -> diagnosis.Diagnosis:
    """Repeat one step of a run and find the first value that is not finite.

    Args:
        run: folder of the run; in Python also a Run.
        step: number of the step, from 1.
        data: the run's data, where it was in memory; other data is found by itself.

    Returns:
        What the step did: its loss, its gradient, its images, and where a value first was not finite.

    Raises:
        UsageError: if there is no run in the folder, or it has no such step, or `data` is a path.
        DataError: if the data is missing or is not what the run began with.
        FileError: if the recipe or all checkpoints are damaged.

    Example:
        resnets.replay(run, step=1).loss
    """
    from resnets.modalities.in_memory import is_in_memory, require_same
    from resnets.training import runner
    from resnets.training.plan import read_plan
    from resnets.training.run_folder import RunFolder

    folder = RunFolder(Path(run))
    if data is not None:
        if not is_in_memory(data):
            raise UsageError("data is for data in memory: of data that was moved, tell resnets resume RUN --data.")
        require_same(str(data), read_plan(folder.recipe).recipe.data, folder.path)
    return runner.replay(folder, step)


def _answer(invocation: Invocation) -> Answer:
    found: diagnosis.Diagnosis = invocation.call()
    lines = [f"step {found.step}: loss {found.loss:.6g}, gradient norm {found.gradient_norm:.6g}"]
    if found.layer:
        lines.append(f"first not finite in the {found.during} pass of {found.layer}")
    marks = ["  (the cause)"] * found.blamed + [""] * (len(found.images) - found.blamed)
    lines += [f"  {printable(name)}{mark}" for name, mark in zip(found.images, marks, strict=True)]
    return Answer(lines, with_old_keys(dataclasses.asdict(found), pictures="images"), found.notes)


COMMAND = Command(replay, _answer, python_only=("data",))
