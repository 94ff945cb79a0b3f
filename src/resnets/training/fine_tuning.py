"""Settings of fine-tuning: which parts of a network learn, from when on, at which rate, and how its head begins.

The parts are the stem and each stage, in the order of the forward pass; the head always learns. Which of them are
frozen at a step is a function of the share of the schedule that is done, so that runs with a time budget, resumed runs
and steps that are made again have the same.

"Head first, then all" is fastai's `fine_tune` (Howard and Gugger 2020, 2002.04688), one part after another from the
last on is gradual unfreezing (Howard and Ruder 2018, 1801.06146, section 3.3).
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.counts import layers
from resnets.models.spec import Spec

FORWARD = 1 / 3  # of the multiply-adds of a step; the other two thirds are the backward pass of what learns


@dataclass(frozen=True, kw_only=True)
@checked
class FineTuning:
    """How a network with given weights is trained on. With the defaults all of it learns, as from scratch.

    Args:
        freeze: how many parts never learn: 0 is none, 1 the stem, 2 the stem and the first stage, and so on. They
            compute as in evaluation, and their batch-norm statistics stay.
        unfreeze: shares of the run, rising, in [0, 1), at which parts begin to learn: the last stage at the first
            share, the stage before it at the second; at the last share, all earlier parts. (0.2,) trains the head alone
            for a fifth of the run, then all.
        freeze_statistics: whether batch norm computes with its running statistics everywhere, and leaves them as they
            are; scales and shifts learn.
        layer_decay: the learning rate of each block over that of the one behind it, in (0, 1]; the head has the whole
            rate (Clark et al. 2020, 2003.10555, section 3.1; Bao et al. 2021, 2106.08254, section 3.2).
        head: how the layer of logits begins: "drawn" at random but for the rows that the weights have, or as "probe",
            fitted to the training samples' features before the first step; see `training.probe`.
        wise_ft: the mixing coefficient alpha, in (0, 1]: evaluated and saved are (1 - alpha) * initial weights +
            alpha * trained ones (Wortsman et al. 2022, 2109.01903, equation 1), of which the initial ones are those
            before the first step. It wants a head that is of use by then, from "probe" or the weights.

    Raises:
        UsageError: a value is out of range.
    """

    freeze: int = 0
    unfreeze: tuple[float, ...] = ()
    freeze_statistics: bool = False
    layer_decay: float = 1.0
    head: Literal["drawn", "probe"] = "drawn"
    wise_ft: float = field(default=1.0, metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.unfreeze))
        if not rising or not all(0 <= share < 1 for share in self.unfreeze):
            raise UsageError(
                "fine_tuning.unfreeze takes shares of the run that rise, from 0 to below 1, such as [0.2], not "
                f"{list(self.unfreeze)}."
            )
        if not 0 < self.layer_decay <= 1:
            raise UsageError(f"fine_tuning.layer_decay must be above 0 and at most 1, not {self.layer_decay:g}.")
        if not 0 < self.wise_ft <= 1:
            raise UsageError(f"fine_tuning.wise_ft must be above 0 and at most 1, not {self.wise_ft:g}.")
        if self.freeze < 0:
            raise UsageError(f"fine_tuning.freeze must be 0 or more, not {self.freeze}.")

    def check(self, spec: Spec) -> None:
        """Raises UsageError if a network of `spec` has not so many parts."""
        parts = _parts(spec)
        if self.freeze > parts:
            raise UsageError(
                f"fine_tuning.freeze takes at most {parts} here (the stem and every stage), not {self.freeze}."
            )
        learning = parts - self.freeze
        if len(self.unfreeze) > learning:
            raise UsageError(
                f"fine_tuning.unfreeze has {len(self.unfreeze)} shares, and only {learning} of the {parts} parts of "
                f"this model learn besides its head (fine_tuning.freeze={self.freeze}): give fewer."
            )

    def frozen(self, share: float, spec: Spec) -> int:
        """Returns how many parts, from the stem on, do not learn once `share` of the schedule is done."""
        if not self.unfreeze or share >= self.unfreeze[-1]:
            return self.freeze
        return max(self.freeze, _parts(spec) - sum(share >= each for each in self.unfreeze))

    def cost(self, share: float, spec: Spec, shape: tuple[int, ...]) -> float:
        """Returns the time of a step over that of one in which all parts but `freeze` learn.

        The forward pass takes a third of a step in which all learns, and the backward pass ends where nothing learns
        any more. Loading is left out.

        Args:
            shape: spatial shape of the inputs.
        """
        if not self.unfreeze:
            return 1.0
        work = _work(spec, shape)

        def time(frozen: int) -> float:
            return FORWARD + (1 - FORWARD) * sum(work[frozen:])

        return time(self.frozen(share, spec)) / time(self.freeze)


def _parts(spec: Spec) -> int:
    """The stem and the stages."""
    return 1 + len(spec.depths)


@functools.lru_cache(maxsize=8)
def _work(spec: Spec, shape: tuple[int, ...]) -> tuple[float, ...]:
    """The shares of the multiply-adds of a forward pass: of the stem, of each stage, and of the head."""
    counts = [0.0] * (_parts(spec) + 1)
    names = [f"layer{number}" for number in range(1, _parts(spec))]
    for layer in layers(spec, shape):
        first = layer.name.partition(".")[0]
        place = 0 if first in ("conv1", "bn1", "maxpool") else names.index(first) + 1 if first in names else -1
        counts[place] += layer.multiply_adds
    return tuple(count / sum(counts) for count in counts)
