"""Counter-based randomness: every random number of a run is a pure function of what it is for.

A generator is keyed by the run's seed and a purpose ("shuffle", "mixup", ...) and starts at a counter made of up
to three indices (an epoch, a step, a sample). Philox (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3") turns key and counter into numbers without any state, so workers, ranks and resumed runs can each draw
just what they need, in any order, and agree.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_SEED = 2**63 - 1


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """The generator for `purpose` at `indices`; equal arguments give equal streams, on every machine.

    Args:
        seed: the run's seed, 0 to 2**63 - 1.
        purpose: what the numbers are for; different purposes give independent streams.
        indices: up to three numbers from 0 to 2**64 - 1, such as epoch, step or sample.
    """
    import numpy as np

    if len(indices) > 3:
        raise ValueError(f"at most three indices, not {indices}")
    name = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    # The lowest counter word is left to the stream itself: 2**64 blocks before two streams could meet.
    counter = [0, *indices, *[0] * (3 - len(indices))]
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, name], np.uint64), counter=np.array(counter, np.uint64))
    )
