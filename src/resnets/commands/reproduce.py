"""`resnets reproduce`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnets.commands.arguments import check_range
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.core.console import say
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.renamed import renamed_arguments
from resnets.core.signatures import checked_arguments
from resnets.core.workers import MAX_WORKERS

if TYPE_CHECKING:
    from resnets.experiments import reproduce as experiments
else:
    experiments = LazyModule("resnets.experiments.reproduce")


@renamed_arguments(tell="log")
@checked_arguments
@can_be_quiet
def reproduce(
    experiment: str,
    /,
    *settings: str,
    data: str | Path | None = None,
    seeds: int = 3,
    models: str | None = None,
    epochs: float | None = None,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    jobs: int | None = None,
    cluster: Literal["ray"] | None = None,
    runs: str | PathLike[str] | None = None,
    log: Callable[[str], None] | None = None,
    quiet: bool = False,
) -> experiments.Reproduction:
    """Run an experiment and compare its results with the published ones.

    Args:
        experiment: a name from `resnets experiments`.
        settings: settings of the recipe for all networks, such as evaluate_every=2.
        data: a dataset or folder to use instead of the paper's.
        seeds: runs of each network, with seeds from 0.
        models: names separated by commas, instead of the experiment's networks.
        epochs: length of training, instead of the recipe's.
        out: folder of the results; what it holds already is not done again (default: reproduced/EXPERIMENT).
        device: auto, cpu, cuda or mps.
        workers: threads that decode images (default: one for each usable core).
        jobs: runs at a time (default: one for each core where a run uses one core, else one).
        cluster: ray makes the runs on the Ray cluster of RAY_ADDRESS, else on one of this machine with jobs CPUs. All
            its machines have to see the folders of results and runs, and the data.
        runs: folder of the trained networks (default: runs in the folder of the results); experiments on the same
            networks and data can share it.
        log: called with a line of text at each step forward (default: shows the last one).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        The finished experiment: its folder, its table and its results.

    Raises:
        UsageError: if a name or a value is wrong, or the folder holds another experiment.

    Example:
        resnets.reproduce("figure6", data="digits", seeds=1)
    """
    check_range("seeds", seeds, 1, 1000)
    check_range("jobs", jobs, 1, MAX_WORKERS)
    check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.experiments import catalog, ray_pool
    from resnets.experiments.reproduce import reproduce as run

    if cluster is not None:
        ray_pool.require()
    found = catalog.find(experiment)
    folder = Path(out) if out is not None else Path("reproduced") / found.name
    with progress_line() as line:
        return run(
            found,
            folder,
            settings=settings,
            data=None if data is None else str(data),
            seeds=seeds,
            models=models,
            epochs=epochs,
            device=device,
            workers=workers,
            jobs=jobs,
            cluster=cluster,
            runs=Path(runs) if runs is not None else None,
            log=line if log is None else log,
        )


def _answer(invocation: Invocation) -> Answer:
    stream = invocation.progress_stream

    def log(line: str) -> None:
        if stream is not None:
            with contextlib.suppress(OSError):  # a closed terminal does not end the runs
                say(line, stream=stream)

    found: experiments.Reproduction = invocation.call(log=log)
    widths = [max(map(len, column)) for column in zip(*found.table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in found.table]
    return Answer([*lines, f"page    {found.folder / 'index.html'}"], found.results)


COMMAND = Command(reproduce, _answer, python_only=("log", "quiet"))
