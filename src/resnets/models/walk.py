"""A walk through a network that has not been built: its layers one after another, and the spatial size after each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from resnets.models.spec import Spec

Size = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with weights.

    Args:
        name: as in the `state_dict`.
        kind: "conv 3x3/2", "norm", "linear".
        shape: of the output for one sample, (channels, *size).
        parameters: number of parameters; 0 for frozen norms, whose weights are not learnt.
        multiply_adds: for one sample, of convolutions and linear layers; 0 for norms, as in the papers.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def linear(name: str, inputs: int, outputs: int, times: int = 1) -> Layer:
    """A linear layer with biases, that is computed so many times for a sample."""
    weights = inputs * outputs
    return Layer(
        name=name, kind="linear", shape=(outputs,), parameters=weights + outputs, multiply_adds=times * weights
    )


class Walk:
    """Walks through a network and tracks the spatial size."""

    def __init__(self, spec: Spec, size: Size) -> None:
        self.spec = spec
        self.size = size

    def conv(
        self, name: str, inputs: int, outputs: int, kernel: int, *,
        stride: int = 1, groups: int = 1, bias: bool = False, size: Size | None = None,
    ) -> Layer:  # fmt: skip
        """A convolution of an input of `self.size`, which is set to the output's size.

        Args:
            size: of the input, where it is another; `self.size` stays then.
        """
        output = strided(self.size if size is None else size, stride)
        if size is None:
            self.size = output
        weights = inputs // groups * outputs * kernel**self.spec.dimensions
        window = "x".join([str(kernel)] * self.spec.dimensions) + (f"/{stride}" if stride > 1 else "")
        grouped = f" in {groups} groups" if groups > 1 else ""
        standardized = ", standardized" if self.spec.standardized and not bias else ""
        return Layer(
            name=name,
            kind=f"conv {window}{grouped}{standardized}",
            shape=(outputs, *output),
            parameters=weights + outputs * bias,
            multiply_adds=weights * math.prod(output),
        )

    def norms(self, name: str, channels: int, size: Size | None = None) -> Iterator[Layer]:
        """The norm of an input of `self.size`, or of `size`, if the network has norms."""
        if self.spec.norm != "none":
            shape = (channels, *(self.size if size is None else size))
            own = 0 if self.spec.norm == "frozen" else 2 * channels
            yield Layer(name=name, kind=f"{self.spec.norm} norm", shape=shape, parameters=own, multiply_adds=0)

    def instance_norm(self, name: str, channels: int) -> Layer:
        return self._learnt_norm(name, "instance norm", channels)

    def group_norm(self, name: str, channels: int) -> Layer:
        """A group norm, whatever norms the network has."""
        return self._learnt_norm(name, "group norm", channels)

    def _learnt_norm(self, name: str, kind: str, channels: int) -> Layer:
        shape = (channels, *self.size)
        return Layer(name=name, kind=kind, shape=shape, parameters=2 * channels, multiply_adds=0)


def strided(size: Size, stride: int) -> Size:
    """The output's size of a padded layer of `stride`."""
    return tuple(-(-n // stride) for n in size)


def halved(size: Size) -> Size:
    """The output's size of an unpadded pool of window and stride 2."""
    return tuple(n // 2 for n in size)
