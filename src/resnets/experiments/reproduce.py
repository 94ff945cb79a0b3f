"""Runs an experiment: trains nets that are not trained yet, measures them, writes the page."""

from __future__ import annotations

import datetime
import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from resnets.core import display
from resnets.core.config import decode, encode
from resnets.core.errors import FileError, UsageError
from resnets.core.files import read_json, write_json
from resnets.core.units import show_count
from resnets.core.workers import usable_cores
from resnets.experiments import catalog, measures, pools
from resnets.experiments.experiment import Experiment, Measured, Outcome
from resnets.experiments.nets import Net
from resnets.experiments.page import Facts, table, write_page
from resnets.experiments.result_keys import with_new_keys, with_old_keys
from resnets.experiments.trial import Trial
from resnets.models.counts import multiply_adds
from resnets.training import environment
from resnets.training.diagnosis import NonFiniteError
from resnets.training.events import Event
from resnets.training.recipe import Recipe
from resnets.training.sweep import Cluster, with_absolute_paths

Log = Callable[[str], None]


@dataclass(frozen=True, repr=False)
class Reproduction:
    """A finished experiment. A notebook shows its table and a link to its page.

    Args:
        folder: holds README.md, index.html, figure.png, results.json and the runs.
        table: heading and rows, as text.
        results: content of results.json.
    """

    folder: Path
    table: list[list[str]]
    results: dict[str, Any]

    def __repr__(self) -> str:
        return f"Reproduction({str(self.folder)!r}, a table of {show_count(len(self.table) - 1, 'row')})"

    def _repr_html_(self) -> str:
        heading, *rows = self.table
        links = {"page": self.folder / "index.html", "figure": self.folder / "figure.png"}
        return display.facts(self.folder.name, {}, links, display.table(heading, rows, most=200))


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
    cluster: Cluster | None,
    runs: Path | None,
    log: Log,
) -> Reproduction:
    """Trains and measures what `folder` does not hold yet, then writes the page.

    Raises:
        UsageError: `folder` holds another experiment, or the same with other settings.
    """
    nets = catalog.choose_nets(experiment, models)
    base = experiment.recipe(data)
    if epochs is not None:
        base = base.with_length(epochs=epochs)
    base = base.with_overrides(settings)
    _claim(folder, experiment, base)
    trained, own = runs or folder / "runs", base
    if cluster is not None:  # whose processes have working folders of their own
        trained, own = trained.absolute(), with_absolute_paths(base)
    trials = {
        (net.name, seed): _trial(experiment, own, net, seed, trained, device, workers)
        for seed in range(seeds)  # seed by seed, so that an interrupted experiment has results of every net
        for net in nets
    }
    measured = {key: found for key in trials if (found := _read_measured(_path(folder, *key))) is not None}
    waiting = [key for key in trials if key not in measured]
    tasks = [partial(_measure, experiment.name, trials[key]) for key in waiting]
    for number, found in pools.run(
        tasks,
        jobs or _jobs(list(trials.values())),
        _notes_once(log),
        name="reproduce",
        cluster=cluster,
        folders=(folder, trained),
        gpu=device != "cpu",
    ):
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
    """Records in `folder` which experiment it holds.

    Raises:
        UsageError: it holds something else, or the same experiment with other settings.
    """
    path = folder / "experiment.json"
    own = {"experiment": experiment.name, "recipe": encode(base)}
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} already holds something else: give another --out.")
        write_json(path, own)
        return
    found = read_json(path)
    try:  # settings that an earlier version did not know are at their defaults
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


def _read_measured(path: Path) -> Measured | None:
    """What was measured, if `path` exists."""
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise FileError(f"{path} is damaged: remove it, and it will be measured again.")
    return with_new_keys(found)


def _jobs(trials: Sequence[Trial]) -> int:
    """Runs at a time: one for each usable core if each run computes with one thread, else 1."""
    environments = {
        environment.choose(
            trial.device,
            trial.recipe.precision,
            multiply_adds(trial.recipe.model, trial.recipe.largest_shape) * trial.recipe.batch,
        )
        for trial in trials
    }
    one_thread = all(each.device == "cpu" and each.threads == 1 for each in environments)
    return usable_cores() if one_thread else 1


def _notes_once(log: Log) -> Log:
    """`log` without notes that were logged before, as the runs of an experiment read the same data."""
    logged: set[str] = set()

    def log_once(line: str) -> None:
        if not (line.startswith("Note: ") and line in logged):
            logged.add(line)
            log(line)

    return log_once


def _measure(name: str, trial: Trial, log: Log) -> Measured:
    experiment = catalog.find(name)
    title = f"{trial.net.name}, seed {trial.recipe.seed}"
    if not experiment.trained:
        found = experiment.measure(trial)
        log(title)
        return found

    def subscriber(event: Event) -> None:
        if event["event"] == "start":
            for note in event["notes"]:
                log(f"Note: {note}")
        if event["event"] == "evaluation":
            split = event.get("split", "test")
            log(f"{title}: epoch {event['epoch']:.4g}, {split} error {1 - event['accuracy']:.2%}")

    try:
        trial.run(subscriber)
    except NonFiniteError as error:
        log(f"{title}: {error}")
        return {"failed": str(error)}
    found = {**experiment.measure(trial), "seconds": trial.seconds}
    log(f"{title}: done in {trial.seconds:.0f} s")
    return found


def _ensemble(experiment: Experiment, folder: Path, trials: Sequence[Trial]) -> list[Outcome]:
    """A row for the mean of the probabilities of all nets and seeds, if the experiment has one."""
    tta = experiment.ensemble
    if tta is None or len(trials) < 2:
        return []
    names = "+".join(sorted(trial.path.name for trial in trials))
    path = _path(folder, f"ensemble-{hashlib.sha256(names.encode()).hexdigest()[:12]}", 0)
    found = _read_measured(path)
    if found is None:
        found = measures.ensemble_errors(trials, tta)
        write_json(path, found)
    paper = with_old_keys({"tta_top5_error": "3.57"})
    return [Outcome(Net(f"ensemble of {len(trials)}", trials[0].net.spec, paper), (0,), (found,))]
