"""What the feature maps of a network are, as data: channels, strides and modules, under timm's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from resnets.core.errors import UsageError
from resnets.core.typed import conform
from resnets.models.spec import Spec


class FeatureInfo(Sequence[dict[str, Any]]):
    """The feature maps of a network, from the stem's to the last stage's, and which of them are given out.

    Args:
        spec: the architecture.
        indices: which are given out; None is all. See `take_indices`.

    Attributes:
        out_indices: numbers of those that are given out, ascending.

    Raises:
        UsageError: an index is out of range.
    """

    def __init__(self, spec: Spec, indices: int | Sequence[int] | None = None) -> None:
        strides, modules = spec.stage_strides, spec.stage_modules
        self._maps: list[dict[str, Any]] = [
            {"num_chs": channels, "reduction": strides[name], "module": modules[name], "index": number}
            for number, (name, channels) in enumerate(spec.stage_channels.items())
        ]
        self.out_indices = take_indices(indices, len(self._maps))

    def channels(self) -> list[int]:
        """Channels of each feature map that is given out."""
        return [self._maps[i]["num_chs"] for i in self.out_indices]

    def reduction(self) -> list[int]:
        """The stride of each: input pixels per pixel of the feature map."""
        return [self._maps[i]["reduction"] for i in self.out_indices]

    def module_name(self) -> list[str]:
        """The name of the module whose output each is."""
        return [self._maps[i]["module"] for i in self.out_indices]

    def get_dicts(self) -> list[dict[str, Any]]:
        """Each that is given out, with the keys "num_chs", "reduction", "module" and "index"."""
        return [self._maps[i] for i in self.out_indices]

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """Of all feature maps, given out or not."""
        return self._maps[index]

    def __len__(self) -> int:
        return len(self._maps)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._maps)

    def __repr__(self) -> str:
        return f"FeatureInfo({self.get_dicts()})"


def take_indices(indices: int | Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The numbers of the feature maps that `indices` stands for, ascending and each once.

    Args:
        indices: 0 for the first of `count` and so on, negative ones from the end; a number n is the last n; None is
            all.

    Raises:
        UsageError: one is out of range, or there is none.
    """
    if indices is None:
        wanted: Sequence[int] = range(count)
    elif isinstance(indices, Iterable):
        numbers = [conform(int, each, "indices") for each in indices]
        wanted = [number + count if number < 0 else number for number in numbers]
    else:
        wanted = range(count - conform(int, indices, "indices"), count)
    if not wanted or not all(0 <= i < count for i in wanted):
        raise UsageError(
            f"The network has {count} feature maps, so that indices are from {-count} to {count - 1} (or a number from "
            f"1 to {count} for the last ones), not {indices}."
        )
    return tuple(sorted(set(wanted)))
