"""What a report says of samples besides their records: how large and how bright they are, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resnets.data.groups import Groups


@dataclass(frozen=True)
class SampleFacts:
    """What was found out about M of the N samples that were scored.

    Args:
        rows: (M,) their rows in the records, rising: all N, or a random part of them.
        pixels: (M,) of the original, upright image, its width times its height; None where samples are no images.
        brightness: (M,) the mean luminance of that image (ITU-R BT.601), from 0 to 1; None where samples are no images.
        features: (M, features) what the classifier gets; None where the layers of the network cannot be reached.
        groups: of all N; None where there are none.
    """

    rows: NDArray[Any]
    pixels: NDArray[Any] | None = None
    brightness: NDArray[Any] | None = None
    features: NDArray[Any] | None = None
    groups: Groups | None = None
