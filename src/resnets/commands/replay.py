"""`resnets replay`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.commands.command import Answer, Command, Invocation
from resnets.core.console import printable
from resnets.core.renamed import with_old_keys
from resnets.core.signatures import checked_arguments

if TYPE_CHECKING:
    from resnets.training.diagnosis import Diagnosis


@checked_arguments
def replay(run: str | Path, /, *, step: int) -> Diagnosis:
    """Repeat one step of a run and find the first value that is not finite.

    Args:
        run: folder of the run.
        step: number of the step, from 1.
    """
    from resnets.training import runner
    from resnets.training.run_folder import RunFolder

    return runner.replay(RunFolder(Path(run)), step)


def _answer(invocation: Invocation) -> Answer:
    found: Diagnosis = invocation.call()
    lines = [f"step {found.step}: loss {found.loss:.6g}, gradient norm {found.gradient_norm:.6g}"]
    if found.layer:
        lines.append(f"first not finite in the {found.during} pass of {found.layer}")
    marks = ["  (the cause)"] * found.blamed + [""] * (len(found.images) - found.blamed)
    lines += [f"  {printable(name)}{mark}" for name, mark in zip(found.images, marks, strict=True)]
    return Answer(lines, with_old_keys(dataclasses.asdict(found), pictures="images"), found.notes)


COMMAND = Command(replay, _answer)
