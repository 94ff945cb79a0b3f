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
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.core.renamed import renamed_fields
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch, Loaded
from resnets.modalities.reader import Reader
from resnets.nn.modes import evaluation_mode
from resnets.nn.stochastic import set_rng_keys
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


@runtime_checkable
class LossOfNetwork(Protocol):
    """A task whose loss takes the network, not what it answers; see `Task.loss`."""

    def evaluation_loss(self, network: Network, batch: Batch) -> Tensor:
        """(N,) the loss of each sample of an evaluation batch, with the targets as `evaluate_batch` gets them."""
        ...


@runtime_checkable
class Merges(Protocol):
    """A task whose outputs have no mean, such as boxes: those of the crops of a sample, and those of several models,
    become one in another way."""

    def merge(self, outputs: Sequence[Any]) -> Any:
        """The output for a sample from those of its crops, or of several models."""
        ...

    def renumber(self, output: Any, order: Sequence[int]) -> Any:
        """The output with classes numbered anew.

        Args:
            order: of each class in the new order, its number in `output`.
        """
        ...


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

    def losses(self, inputs: Sequence[Any], targets: Batch, keys: Sequence[int]) -> Tensor | None:
        """(N,) the loss of each of N inputs, of a task whose loss takes the network (`LossOfNetwork`); else None.

        Args:
            targets: as `Task.evaluate_batch` gets them.
            keys: a number for each input, on which alone its random choices depend.
        """
        ...


@renamed_fields
class NetworkPredictor:
    """The predictions of one network, averaged over the crops of test-time augmentation, or merged.

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
        """The outputs as they are where each sample has one crop, else those of the means over its crops, or of all of
        them (`Merges`)."""
        fixed = self.task.settings.fixed
        if fixed and all(len(each.inputs) == 1 for each in inputs):
            return self._outputs([(each, 0) for each in inputs])
        if all(len(each.inputs) == 1 for each in inputs):  # of any size: alone, so that none depends on the others
            return [output for each in inputs for output in self._outputs([(each, 0)])]
        if isinstance(self.task, Merges):
            return [
                self.task.merge([self._outputs([(each, crop)])[0] for crop in range(len(each.inputs))])
                for each in inputs
            ]
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

    def losses(self, inputs: Sequence[Loaded], targets: Batch, keys: Sequence[int]) -> Tensor | None:
        """As `Predictor.losses`, of the first crop, each input alone."""
        if not isinstance(self.task, LossOfNetwork):
            return None
        found = []
        with evaluation_mode(self.network):
            for row, (each, key) in enumerate(zip(inputs, keys, strict=True)):
                own = targets.rows(slice(row, row + 1))
                batch = Batch(own.dense | self._batch([(each, 0)]).dense, own.ragged).to(self.device)
                set_rng_keys(self.network, torch.tensor([key], device=self.device))
                found.append(self.task.evaluation_loss(self.network, batch))
        set_rng_keys(self.network, None)
        return torch.cat(found)

    def _at_once(self, shape: tuple[int, ...]) -> int:
        """How many crops of `shape` take as much memory as `BATCH` of the usual one."""
        usual = self.reader.slots(None)["inputs"].shape
        return max(1, BATCH * math.prod(usual[1:]) // math.prod(shape[1:]))

    def _outputs(self, crops: Sequence[tuple[Loaded, int]]) -> Any:
        """The outputs for crops of one shape."""
        with evaluation_mode(self.network):
            return self.task.predict(self.network, self._batch(crops))

    def _batch(self, crops: Sequence[tuple[Loaded, int]]) -> Batch:
        """Crops of one shape as the network gets them."""
        values = torch.from_numpy(np.stack([each.inputs[crop] for each, crop in crops])).to(self.device)
        dense = {"inputs": lay_out(self.reader.normalize(values))}
        if not self.task.settings.fixed:
            dense["mirrored"] = torch.tensor([each.mirrored[crop] for each, crop in crops])
            dense["sizes"] = torch.tensor([each.size for each, _ in crops])
            if all(each.regions for each, _ in crops):
                dense["regions"] = torch.tensor([each.regions[crop] for each, crop in crops], dtype=torch.float32)
        return Batch(dense)


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
    """Several predictors of one task, whose means are averaged (He et al. 2015, table 5), or outputs merged (`Merges`).

    The settings of each one's task are its own, such as the mean of a target; outputs are as the first one's.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def load(self, dataset: Dataset, index: int) -> list[Any]:
        """The input of each member."""
        return [member.predictor.load(dataset, index) for member in self.members]

    def predict(self, inputs: Sequence[list[Any]]) -> Any:
        """The outputs of the means over the members, or of all of theirs."""
        task = self.members[0].predictor.task
        by_member = [
            (member, member.predictor.predict([of_members[number] for of_members in inputs]))
            for number, member in enumerate(self.members)
        ]
        if isinstance(task, Merges):
            found = [[task.renumber(output, member.order) for output in outputs] for member, outputs in by_member]
            return [task.merge(of_models) for of_models in zip(*found, strict=True)]
        means = [
            [mean[list(member.order)] for mean in member.predictor.task.to_mean(outputs)]
            for member, outputs in by_member
        ]
        return task.from_mean([torch.stack(of_models).mean(0) for of_models in zip(*means, strict=True)])

    def losses(self, inputs: Sequence[list[Any]], targets: Batch, keys: Sequence[int]) -> None:
        """None: an ensemble has no loss but that of its outputs."""
        return


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

    def losses(self, inputs: Sequence[Any], targets: Batch, keys: Sequence[int]) -> Tensor | None:
        return self._predictor.losses(inputs, targets, keys)
