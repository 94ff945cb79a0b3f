"""The command that repeats a run, for its report."""

from __future__ import annotations

import os
import shlex

from resnets.modalities.in_memory import is_in_memory
from resnets.training.plan import Plan
from resnets.training.run_folder import RunFolder


def repeating(plan: Plan, folder: RunFolder, ranks: int = 1) -> str:
    """The command that trains the same model again: by the run's recipe.json, with what that file does not decide.

    It gives the same bits in the same environment, but for a run with a time budget, whose length is what fits. Each
    fold and each run of a sweep is a run of its own here, and a resumed run is as one that was not interrupted.

    Args:
        ranks: number of processes that trained.
    """
    checkpoints, out = plan.checkpoints, "FOLDER"
    flags = ["--device", plan.environment.device.partition(":")[0]]
    if checkpoints.monitor is not None:
        flags += ["--monitor", checkpoints.monitor]
    if checkpoints.patience is not None:
        flags += ["--patience", str(checkpoints.patience)]
    if is_in_memory(plan.recipe.data):
        given = {"device": flags[1], "monitor": checkpoints.monitor, "patience": checkpoints.patience}
        named = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
        command = f"resnets.train({os.fspath(folder.recipe)!r}, data=DATA, out={out!r}{named})"
        more = "".join(f"; resnets.resume({out!r}, epochs='+{epochs:g}')" for epochs in plan.extensions)
        return command + more
    program = ["resnets"] if ranks == 1 else ["torchrun", f"--nproc-per-node={ranks}", "-m", "resnets"]
    commands = [[*program, "train", os.fspath(folder.recipe), *flags, "--out", out]]
    commands += [[*program, "resume", out, "--epochs", f"+{epochs:g}"] for epochs in plan.extensions]
    return " && ".join(map(shlex.join, commands))
