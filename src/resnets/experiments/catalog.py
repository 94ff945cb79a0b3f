"""The experiments by name: the paper's tables and figures, and what came after."""

from __future__ import annotations

from resnets.core.errors import UsageError, lookup
from resnets.experiments.analyses import DEPTH_SCALING, GRADIENT_FLOW, LESION, SHATTERED_GRADIENTS
from resnets.experiments.experiment import Experiment
from resnets.experiments.nets import Net, from_catalog
from resnets.experiments.paper_figures import FIGURE_4, FIGURE_6, FIGURE_7
from resnets.experiments.paper_tables import TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        TABLE_2,
        FIGURE_4,
        TABLE_3,
        TABLE_4,
        TABLE_5,
        TABLE_6,
        FIGURE_6,
        FIGURE_7,
        GRADIENT_FLOW,
        LESION,
        SHATTERED_GRADIENTS,
        DEPTH_SCALING,
    )
}


def find(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return lookup(EXPERIMENTS, name, "experiment")


def choose_nets(experiment: Experiment, models: str | None) -> tuple[Net, ...]:
    """The experiment's nets, or those that `models` lists by name, separated by commas.

    Args:
        models: names of the experiment's nets or of any other in the catalogue of models.

    Raises:
        UsageError: an unknown name, or no name at all.
    """
    if models is None:
        return experiment.nets
    own = {net.name: net for net in experiment.nets}
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models needs names, with commas between them.")
    return tuple(own[name] if name in own else from_catalog([name])[0] for name in names)
