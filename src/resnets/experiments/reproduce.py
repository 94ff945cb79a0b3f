"""Runs an experiment: trains what is not trained yet, measures it, writes the page."""

from __future__ import annotations

import datetime
import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from resnets.core.config import decode, encode
from resnets.core.errors import FileError, UsageError
from resnets.core.files import read_json, write_json
from resnets.core.workers import usable_cores
from resnets.experiments import catalog, measures, process_pool
from resnets.experiments.experiment import Experiment, Measured, Net, Outcome
from resnets.experiments.page import Facts, table, write_page
from resnets.experiments.trial import Trial
from resnets.models.counts import multiply_adds
from resnets.training import environment
from resnets.training.diagnosis import NonFiniteError
from resnets.training.recipe import Recipe
from resnets.training.run_folder import Event

Log = Callable[[str], None]


@dataclass(frozen=True)
class Reproduction:
    """A finished experiment.

    Args:
        folder: holds README.md, index.html, figure.png, results.json and the runs.
        table: heading and rows, as shown.
        results: what results.json says.
    """

    folder: Path
    table: list[list[str]]
    results: dict[str, Any]


def reproduce(
    experiment: Experiment,
    folder: Path,
    *,
    settings: Sequence[str],
    data: str | None,
    seeds: int,
    models: str | None,
    epochs: float | None,
    device: str,
    workers: int | None,
    jobs: int | None,
    runs: Path | None,
    log: Log,
) -> Reproduction:
    """Everything that `folder` does not hold yet, then the page.

    Raises:
        UsageError: `folder` holds another experiment, or the same with other settings.
    """
    nets = catalog.chosen(experiment, models)
    base = experiment.recipe(data)
    if epochs is not None:
        base = base.with_length(epochs=epochs)
    base = base.with_overrides(settings)
    _claim(folder, experiment, base)
    trials = {
        (net.name, seed): _trial(experiment, base, net, seed, runs or folder / "runs", device, workers)
        for seed in range(seeds)  # seed by seed, so that what is cut off has something to say of every net
        for net in nets
    }
    measured = {key: found for key in trials if (found := _kept(_path(folder, *key))) is not None}
    waiting = [key for key in trials if key not in measured]
    tasks = [partial(_measure, experiment.name, trials[key]) for key in waiting]
    for number, found in process_pool.run(tasks, jobs or _jobs(list(trials.values())), _notes_once(log)):
        write_json(_path(folder, *waiting[number]), found)
        measured[waiting[number]] = found
    outcomes = [
        Outcome(net, tuple(range(seeds)), tuple(measured[net.name, seed] for seed in range(seeds))) for net in nets
    ]
    outcomes += _ensemble(experiment, folder, [t for key, t in trials.items() if "failed" not in measured[key]])
    now = environment.choose(device)
    options = {
        "--data": data, "--seeds": seeds, "--models": models, "--epochs": epochs, "--out": folder, "--runs": runs,
    }  # fmt: skip
    words = [word for flag, value in options.items() if value is not None for word in (flag, str(value))]
    facts = Facts(
        command=shlex.join(["resnets", "reproduce", experiment.name, *settings, *words]),
        date=datetime.date.today().isoformat(),
        hardware=now.hardware,
        versions=f"torch {now.torch}, resnets {now.resnets}",
        data=base.data,
        length=f"{base.epochs:g} epochs" if base.epochs is not None else f"{base.steps:,} steps",
        hours=sum(float(run.get("seconds", 0)) for run in measured.values()) / 3600,
        split=next((run["split"] for run in measured.values() if "split" in run), "test"),
    )
    write_page(folder, experiment, outcomes, facts)
    return Reproduction(folder, table(experiment, outcomes), read_json(folder / "results.json"))


def _claim(folder: Path, experiment: Experiment, base: Recipe) -> None:
    """Makes `folder` this experiment's, or finds that it is."""
    path = folder / "experiment.json"
    own = {"experiment": experiment.name, "recipe": encode(base)}
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} already holds something else: give another --out.")
        write_json(path, own)
        return
    found = read_json(path)
    try:  # settings that came with a later version are at their defaults
        same = decode(Recipe, found["recipe"]) == base
    except (UsageError, KeyError, TypeError):
        same = False
    if not same or found.get("experiment") != experiment.name:
        raise UsageError(
            f"{folder} holds {found.get('experiment')} with other settings (data, epochs or version): repeat those, or "
            "give another --out."
        )


def _trial(
    experiment: Experiment, base: Recipe, net: Net, seed: int, runs: Path, device: str, workers: int | None
) -> Trial:
    recipe = replace(base, name=f"{experiment.name}/{net.name}", model=net.spec, seed=seed)
    if net.settings and base.data != "digits":
        recipe = recipe.with_overrides(net.settings)
    return Trial(net, recipe, runs / f"{net.name}-{seed}", device, workers, experiment.snapshots)


def _path(folder: Path, name: str, seed: int) -> Path:
    return folder / "measured" / f"{name}-{seed}.json"


def _kept(path: Path) -> Measured | None:
    """What `path` holds, if it is there."""
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise FileError(f"{path} is damaged: remove it, and it will be measured again.")
    return found


def _jobs(trials: Sequence[Trial]) -> int:
    """As many at a time as there are usable cores, where each computes on one; see `environment.choose`."""
    environments = {
        environment.choose(
            trial.device,
            trial.recipe.precision,
            multiply_adds(trial.recipe.model, trial.recipe.largest_size) * trial.recipe.batch,
        )
        for trial in trials
    }
    alone = all(each.device == "cpu" and each.threads == 1 for each in environments)
    return usable_cores() if alone else 1


def _notes_once(log: Log) -> Log:
    """`log`, but for notes that were told before: the runs of an experiment read the same data."""
    told: set[str] = set()

    def listen(line: str) -> None:
        if not (line.startswith("Note: ") and line in told):
            told.add(line)
            log(line)

    return listen


def _measure(name: str, trial: Trial, log: Log) -> Measured:
    experiment = catalog.find(name)
    title = f"{trial.net.name}, seed {trial.recipe.seed}"
    if not experiment.trained:
        found = experiment.measure(trial)
        log(title)
        return found

    def listen(event: Event) -> None:
        if event["event"] == "start":
            for note in event["notes"]:
                log(f"Note: {note}")
        if event["event"] == "evaluation":
            split = event.get("split", "test")
            log(f"{title}: epoch {event['epoch']:.4g}, {split} error {1 - event['accuracy']:.2%}")

    try:
        trial.run(listen)
    except NonFiniteError as error:
        log(f"{title}: {error}")
        return {"failed": str(error)}
    found = {**experiment.measure(trial), "seconds": trial.seconds}
    log(f"{title}: done in {trial.seconds:.0f} s")
    return found


def _ensemble(experiment: Experiment, folder: Path, trials: Sequence[Trial]) -> list[Outcome]:
    """One more row, for the mean of all nets and seeds."""
    tta = experiment.ensemble
    if tta is None or len(trials) < 2:
        return []
    named = "+".join(sorted(trial.path.name for trial in trials))
    path = _path(folder, f"ensemble-{hashlib.sha256(named.encode()).hexdigest()[:12]}", 0)
    found = _kept(path)
    if found is None:
        found = measures.ensemble_errors(trials, tta)
        write_json(path, found)
    return [Outcome(Net(f"ensemble of {len(trials)}", trials[0].net.spec, {"view_top5_error": "3.57"}), (0,), (found,))]
