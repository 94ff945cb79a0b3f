"""What an experiment tracker does, and the subscriber that feeds one with the events of a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from resnets.core.config import encode
from resnets.core.files import read_json, write_json
from resnets.training.events import Event
from resnets.training.plan import TrackerName, read_plan
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a run.

    Args:
        folder: of the run, in which a tracker has a folder of its own.
        name: for people.
        settings: the recipe, ready for JSON.
        id: what `Tracker.begin` returned when the run began; None for a run that begins.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    id: str | None


class Tracker(Protocol):
    """A tracker of one run. Making one raises UsageError where its package is not installed.

    The numbers of a run come in the order of steps. Where a run goes on, all come again from its first step on, and the
    tracker leaves out those that it has.
    """

    title: str

    def begin(self, run: TrackedRun) -> str | None:
        """Begins the tracked run, or goes on with that of `run.id`; returns its id, where it needs one to go on."""
        ...

    def log(self, numbers: Mapping[str, float], step: int) -> None: ...

    def end(self, *, finished: bool) -> None:
        """Writes all that is left.

        Args:
            finished: whether the run has ended, and was not stopped.
        """
        ...


class TrackerSubscriber:
    """Feeds a tracker with the numbers of steps and evaluations, and with the settings of the recipe.

    What is no number, such as a metric by class, or has no value, is left out. A tracker that fails gets no more
    numbers, so that the run does not wait for it at each step; the exception goes to `training.subscribers`, which
    warns. Where the run goes on, the tracker gets what it lacks from log.jsonl.
    """

    def __init__(self, name: TrackerName, tracker: Tracker, folder: RunFolder) -> None:
        self.title = tracker.title
        self._name = name
        self._tracker = tracker
        self._folder = folder
        self._begun = self._works = False

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "start":
            self._begin(resumed=bool(event.get("resumed_after")))
            self._works = True
        elif kind == "end":
            self._end(finished=True)
        elif self._works:
            self._works = False  # until it has worked again
            self._log(event)
            self._works = True

    def close(self) -> None:
        """Ends the tracking of a run that was stopped."""
        with contextlib.suppress(Exception):  # nobody is there any more to hear of it
            self._end(finished=False)

    def _begin(self, *, resumed: bool) -> None:
        ids = self._folder.path / "trackers.json"
        known = read_json(ids) if ids.exists() else {}
        run = TrackedRun(
            folder=self._folder.path.absolute(),
            name="/".join(self._folder.path.absolute().parts[-2:]),
            settings=encode(read_plan(self._folder.recipe).recipe),
            id=known.get(self._name),
        )
        found = self._tracker.begin(run)
        self._begun = True
        if found != run.id:
            write_json(ids, {**known, self._name: found})
        if resumed:
            for event in read_log(self._folder.log):
                self._log(event)

    def _end(self, *, finished: bool) -> None:
        if self._begun:
            self._begun = self._works = False
            self._tracker.end(finished=finished)

    def _log(self, event: Event) -> None:
        if event["event"] in ("step", "evaluation"):
            self._tracker.log(numbers_of(event), event["step"])


def numbers_of(event: Event) -> dict[str, float]:
    """The finite numbers of a step or an evaluation by name, such as "train/loss" and "val/accuracy"."""
    prefix = "train" if event["event"] == "step" else event.get("split", "test")
    return {
        f"{prefix}/{name}": value
        for name, value in event.items()
        if name not in ("event", "step")
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
