"""Counter-based random numbers: each is a pure function of the seed, a purpose and up to three indices.

A generator has the run's seed and a purpose ("shuffle", "mixup", ...) as its key and starts at a counter made of the
indices (such as epoch, step, sample). Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") maps
key and counter to numbers without any state, so that workers, ranks and resumed runs draw the numbers that they need
in any order, and draw the same ones.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_SEED = 2**63 - 1


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """The generator for `purpose` at `indices`. Equal arguments give equal streams on every machine.

    Args:
        seed: the run's seed, from 0 to 2**63 - 1.
        purpose: what the numbers are for; different purposes give independent streams. Purposes are part of the format
            of runs: a run of an earlier version resumes with the same numbers only if they stay.
        indices: up to three numbers from 0 to 2**64 - 1, such as epoch, step or sample.

    Raises:
        ValueError: there are more than three indices.
    """
    import numpy as np

    if len(indices) > 3:
        raise ValueError(f"at most three indices, not {indices}")
    name = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    # The lowest word of the counter is the stream's own: it has 2**64 blocks before it could meet another stream.
    counter = [0, *indices, *[0] * (3 - len(indices))]
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, name], np.uint64), counter=np.array(counter, np.uint64))
    )
