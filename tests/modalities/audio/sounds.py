"""Recordings for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray


def tone(seconds: float = 0.5, rate: int = 8000, hertz: float = 440.0, seed: int = 0) -> NDArray[np.float64]:
    """(N,) a tone in some noise, so that where a sample is off, it shows."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * hertz * time) + np.random.default_rng(seed).uniform(-0.1, 0.1, len(time))


def write(path: Path, samples: NDArray[Any] | None = None, rate: int = 8000, subtype: str | None = None) -> Path:
    """Writes `samples` (N,) or (N, channels), by default those of `tone`; the ending says in which format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if samples is None else samples, rate, subtype=subtype)
    return path


def write_classes(root: Path, counts: dict[str, int], rate: int = 8000) -> Path:
    """Writes `counts[folder]` recordings, all different, into each folder below `root`; each class has its own tone."""
    classes = sorted({folder.split("/")[-1] for folder in counts})
    for number, (folder, count) in enumerate(counts.items()):
        hertz = 300.0 * 2 ** classes.index(folder.split("/")[-1])
        for each in range(count):
            write(root / folder / f"{each}.wav", tone(0.3 + 0.05 * each, rate, hertz, seed=100 * number + each), rate)
    return root
