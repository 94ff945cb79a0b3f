"""Predictors: what gives the outputs for a dataset's samples, a single network or an ensemble.

Over the crops of test-time augmentation and over the networks of an ensemble, what the task says is averaged: of a
classifier probabilities, not logits (He et al. 2015, sections 3.4 and 4.1, after Krizhevsky et al. 2012 and Simonyan
and Zisserman 2015).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.core.renamed import renamed_fields
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch, Loaded
from resnets.modalities.reader import Reader
from resnets.nn.modes import evaluation_mode
from resnets.tasks.base import Network, TaskSettings
from resnets.tasks.forward import lay_out

BATCH = 128  # samples


class Outputs(Protocol):
    """What a network is asked for: a task, or its features; see `Task` for the methods."""

    @property
    def settings(self) -> TaskSettings: ...

    def predict(self, network: Network, batch: Batch) -> Any: ...

    def to_mean(self, outputs: Any) -> Any: ...

    def from_mean(self, means: Sequence[Tensor]) -> Any: ...

    def answers(self, outputs: Any, classes: tuple[str, ...], top: int) -> list[Any]: ...


class Predictor(Protocol):
    """Gives the outputs of a task.

    Networks compute in evaluation mode, whatever their mode is, and have their own mode again afterwards.
    """

    def load(self, dataset: Dataset, index: int) -> Any:
        """The network's input for sample `index`. Several threads call this at a time.

        Raises:
            DataError: the sample cannot be read.
        """
        ...

    def predict(self, inputs: Sequence[Any]) -> Any:
        """The outputs for N inputs as `load` returns them; see `Task.predict`."""
        ...


@renamed_fields
class NetworkPredictor:
    """The predictions of one network, averaged over the crops of test-time augmentation.

    Args:
        tta: the test-time augmentation, one of `Input.tta`.
        device: of `network`; None is the CPU.
        prepared: the dataset's samples as `Reader.examine` prepares them, where they are in memory.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Outputs,
        reader: Reader,
        *,
        tta: str = "center",
        device: torch.device | None = None,
        prepared: NDArray[Any] | None = None,
    ) -> None:
        self.network = network
        self.task = task
        self.reader = reader
        self.tta = tta
        self.device = device or torch.device("cpu")
        self.prepared = prepared

    def load(self, dataset: Dataset, index: int) -> Loaded:
        """The crops of sample `index`."""
        if self.prepared is not None and (loaded := self.reader.load_prepared(self.prepared[index], self.tta)):
            return loaded
        return self.reader.load(dataset, index, self.tta)

    def predict(self, inputs: Sequence[Loaded]) -> Any:
        """The outputs as they are where each sample has one crop, else those of the means over its crops."""
        fixed = self.task.settings.fixed
        if fixed and all(len(each.inputs) == 1 for each in inputs):
            return self._outputs([(each, 0) for each in inputs])
        if all(len(each.inputs) == 1 for each in inputs):  # of any size: alone, so that none depends on the others
            return [output for each in inputs for output in self._outputs([(each, 0)])]
        by_shape: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for row, each in enumerate(inputs):
            for crop, values in enumerate(each.inputs):
                by_shape[values.shape].append((row, crop))
        totals: list[Tensor | None] = [None] * len(inputs)
        for shape, members in by_shape.items():
            at_once = self._at_once(shape) if fixed else 1
            for first in range(0, len(members), at_once):
                part = members[first : first + at_once]
                means = self.task.to_mean(self._outputs([(inputs[row], crop) for row, crop in part]))
                for (row, crop), mean in zip(part, means, strict=True):
                    weighted = mean * inputs[row].weights[crop]
                    total = totals[row]
                    totals[row] = weighted if total is None else total + weighted
        return self.task.from_mean(
            [total / sum(each.weights) for total, each in zip(totals, inputs, strict=True) if total is not None]
        )

    def _at_once(self, shape: tuple[int, ...]) -> int:
        """How many crops of `shape` take as much memory as `BATCH` of the usual one."""
        usual = self.reader.slots(None)["inputs"].shape
        return max(1, BATCH * math.prod(usual[1:]) // math.prod(shape[1:]))

    def _outputs(self, crops: Sequence[tuple[Loaded, int]]) -> Any:
        """The outputs for crops of one shape."""
        values = torch.from_numpy(np.stack([each.inputs[crop] for each, crop in crops])).to(self.device)
        dense = {"inputs": lay_out(self.reader.normalize(values))}
        if not self.task.settings.fixed:
            dense["mirrored"] = torch.tensor([each.mirrored[crop] for each, crop in crops])
            dense["sizes"] = torch.tensor([each.size for each, _ in crops])
            if all(each.regions for each, _ in crops):
                dense["regions"] = torch.tensor([each.regions[crop] for each, crop in crops], dtype=torch.float32)
        with evaluation_mode(self.network):
            return self.task.predict(self.network, Batch(dense))


@renamed_fields
@dataclass(frozen=True)
class Member:
    """A predictor of an ensemble.

    Args:
        order: for each class of the ensemble, its number among the predictor's own classes.
    """

    predictor: NetworkPredictor
    order: tuple[int, ...]


@renamed_fields
class Ensemble:
    """Several predictors of one task, whose means are averaged (He et al. 2015, table 5).

    The settings of each one's task are its own, such as the mean of a target; outputs are as the first one's.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def load(self, dataset: Dataset, index: int) -> list[Any]:
        """The input of each member."""
        return [member.predictor.load(dataset, index) for member in self.members]

    def predict(self, inputs: Sequence[list[Any]]) -> Any:
        """The outputs of the means over the members."""
        by_member = []
        for number, member in enumerate(self.members):
            outputs = member.predictor.predict([of_members[number] for of_members in inputs])
            means = member.predictor.task.to_mean(outputs)
            by_member.append([mean[list(member.order)] for mean in means])
        return self.members[0].predictor.task.from_mean(
            [torch.stack(means).mean(0) for means in zip(*by_member, strict=True)]
        )


class Counted:
    """A predictor that says how many samples it has predicted.

    Args:
        count: called with their number after each batch.
    """

    def __init__(self, predictor: Predictor, count: Callable[[int], None]) -> None:
        self._predictor = predictor
        self._count = count
        self._done = 0

    def load(self, dataset: Dataset, index: int) -> Any:
        return self._predictor.load(dataset, index)

    def predict(self, inputs: Sequence[Any]) -> Any:
        outputs = self._predictor.predict(inputs)
        self._done += len(inputs)
        self._count(self._done)
        return outputs
