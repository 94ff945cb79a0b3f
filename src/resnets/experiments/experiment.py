"""What an experiment is, as data: nets, how each is trained, what is measured of it, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnets.experiments.nets import Net
from resnets.experiments.trial import Trial
from resnets.modalities.image.preprocessing import TestTimeAugmentation
from resnets.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Measured = dict[str, Any]  # JSON-ready


@dataclass(frozen=True)
class Column:
    """A column of the table: the results hold an error as a fraction of 1, the table shows it in percent."""

    key: str
    heading: str
    percent: bool = True


TEST_ERROR = Column("final_test_error", "test error, %")
TRAIN_ERROR = Column("final_train_error", "training error, %")
TTA_ERROR = Column("tta_error", "top-1 error, %")
TTA_TOP5_ERROR = Column("tta_top5_error", "top-5 error, %")


@dataclass(frozen=True)
class Outcome:
    """All that was measured of one net: an entry for each seed, in order."""

    net: Net
    seeds: tuple[int, ...]
    runs: tuple[Measured, ...]

    def values(self, key: str) -> list[Any]:
        """The values of the seeds under `key`, without failed trainings and figures that are not finite (None)."""
        return [run[key] for run in self.runs if run.get(key) is not None]

    def mean(self, key: str) -> float:
        """Mean over the seeds that have a number under `key`.

        Raises:
            ZeroDivisionError: none has.
        """
        values = self.values(key)
        return float(sum(values) / len(values))


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Args:
        question: what it is about, and what the paper found, with its section, figure or table.
        nets: in the order of the table.
        recipe: returns the recipe that all nets share, for a dataset's name or a folder, or None for the paper's data.
        measure: measures a trained net.
        columns: of the table.
        draw: draws the figure.
        read: returns what the results show, in sentences; see `findings`.
        trained: whether nets are trained; if not, they are measured at initialisation.
        ensemble: test-time augmentation of one more row, the mean of the probabilities of all nets and seeds.
        snapshots: how many checkpoints, evenly over the run, are kept to be measured.
    """

    name: str
    title: str
    question: str
    nets: tuple[Net, ...]
    recipe: Callable[[str | None], Recipe]
    measure: Callable[[Trial], Measured]
    columns: tuple[Column, ...]
    draw: Callable[[Sequence[Outcome]], Figure] | None = None
    read: Callable[[Sequence[Outcome]], list[str]] = lambda outcomes: []
    trained: bool = True
    snapshots: int = 0
    ensemble: TestTimeAugmentation | None = None
