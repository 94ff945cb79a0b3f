"""What an experiment is, as data: nets, how each is trained, what is measured of it, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resnets.modalities.image.preprocessing import TestTimeAugmentation
from resnets.models.spec import Spec
from resnets.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resnets.experiments.trial import Trial

Measured = dict[str, Any]  # JSON-ready


@dataclass(frozen=True)
class Net:
    """A network of an experiment.

    Args:
        name: in tables, plots and folders.
        paper: the paper's figures for it, by the key of a column.
        settings: of the recipe, where this net is trained otherwise than the rest.
    """

    name: str
    spec: Spec
    paper: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A figure in the table: errors are shares in the results and percent in the table."""

    key: str
    heading: str
    percent: bool = True


@dataclass(frozen=True)
class Outcome:
    """All that was measured of one net: an entry for each seed, in order."""

    net: Net
    seeds: tuple[int, ...]
    runs: tuple[Measured, ...]

    def values(self, key: str) -> list[Any]:
        """What the seeds have under `key`; a failed training has nothing, and a figure that is not finite is None."""
        return [run[key] for run in self.runs if run.get(key) is not None]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Args:
        question: what it is about, and what the paper found, with its place.
        nets: in the order of the table.
        recipe: for the data that it is given: a dataset's name or a folder.
        measure: looks at a trained net.
        columns: of the table.
        draw: the image.
        read: what the results say, in sentences made from them.
        trained: whether there is anything to train.
        ensemble: the view under which the mean of all nets and seeds is scored, as one more row.
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
