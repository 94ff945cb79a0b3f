"""The table of trackers, and the subscribers that write for those that a run has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from resnets.core.console import note
from resnets.core.errors import UsageError
from resnets.training.plan import TrackerName
from resnets.training.run_folder import RunFolder
from resnets.training.trackers.base import Tracker, TrackerSubscriber
from resnets.training.trackers.mlflow import MLflowTracker
from resnets.training.trackers.tensorboard import TensorBoardTracker
from resnets.training.trackers.wandb import WandbTracker

TRACKERS: Mapping[TrackerName, type[Tracker]] = {
    "tensorboard": TensorBoardTracker,
    "mlflow": MLflowTracker,
    "wandb": WandbTracker,
}


def require(names: Sequence[TrackerName]) -> None:
    """Raises UsageError if the package of a tracker is not installed; the message has how to install it."""
    for name in names:
        TRACKERS[name]()


@contextlib.contextmanager
def tracked(folder: RunFolder, names: Sequence[TrackerName]) -> Iterator[tuple[TrackerSubscriber, ...]]:
    """Context manager that gives the subscribers of a run; a note says which tracker is not installed."""
    with contextlib.ExitStack() as stack:
        subscribers = []
        for name in names:
            try:
                subscriber = TrackerSubscriber(name, TRACKERS[name](), folder)
            except UsageError as error:
                note(f"{error} The run goes on without it.")
            else:
                subscribers.append(stack.enter_context(contextlib.closing(subscriber)))
        yield tuple(subscribers)
