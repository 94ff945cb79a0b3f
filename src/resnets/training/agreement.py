"""What ranks must have in common before they train together.

Ranks that differ would train on: each would add gradients of its own data, at its own settings, to the others'. So
every rank says what it has, and a difference ends all of them by name before the first step. What a rank cannot do
alone (read its data, keep a limit of memory) ends all of them as well, without a wait for who does not come.

The threads that torch computes with are rank 0's on every rank. Hardware may differ between ranks: it changes the
rounding of a rank's own share, as it does between machines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast

from torch import nn

from resnets.artifacts.model_file import weights_sha256
from resnets.core.config import encode
from resnets.core.errors import ResnetsError, TrainingError, UsageError
from resnets.modalities.base import Dataset
from resnets.training.distributed import Ranks
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe

T = TypeVar("T")
_OWN = ("device", "hardware", "cpu_capability", "threads")  # of an environment, what ranks may have of their own
_SHOWN = 60  # characters of a value


def together(ranks: Ranks, action: Callable[[], T]) -> T:
    """What `action` gives on this rank, once it has succeeded on all of them.

    Raises:
        ResnetsError: this rank's own error.
        TrainingError: another rank's, with its number.
    """
    if ranks.world == 1:
        return action()
    outcome: T | None = None
    failure: ResnetsError | None = None
    try:
        outcome = action()
    except ResnetsError as error:
        failure = error
    ranks.barrier()  # one may have been at it long before another
    failures = ranks.gather(str(failure) if failure else None)
    if failure is not None:
        raise failure
    _raise_first(failures, ranks.world)
    return cast(T, outcome)


def from_rank_0(ranks: Ranks, action: Callable[[], T]) -> T:
    """What `action` gives on rank 0, on every rank; the others do not run it.

    Raises:
        ResnetsError: rank 0's error, on rank 0.
        TrainingError: the same, on the others.
    """
    if ranks.world == 1:
        return action()
    outcome: T | None = None
    failure: ResnetsError | None = None
    if ranks.is_main:
        try:
            outcome = action()
        except ResnetsError as error:
            failure = error
    ranks.barrier()
    found, message = ranks.gather((outcome, str(failure) if failure else None))[0]
    if failure is not None:
        raise failure
    _raise_first([message], ranks.world)
    return cast(T, found)


def _raise_first(failures: list[str | None], world: int) -> None:
    for rank, message in enumerate(failures):
        if message is not None:
            raise TrainingError(f"Rank {rank} of {world} cannot begin: {message}")


def require_equal(ranks: Ranks, facts: Mapping[str, Any]) -> None:
    """Ends every rank where `facts` (by name, JSON-ready) are not equal on all of them.

    Raises:
        UsageError: the message names each fact that differs, with its values and their ranks.
    """
    if ranks.world == 1:
        return
    everyone: list[Mapping[str, Any]] = ranks.gather(dict(facts))
    names = dict.fromkeys(name for each in everyone for name in each)
    differing = [line for name in names if (line := _difference(name, [each.get(name) for each in everyone]))]
    if differing:
        raise UsageError(
            "The ranks differ, and would not compute the same:\n  "
            + "\n  ".join(differing)
            + "\nGive every rank the same command, data and versions."
        )


def require_equal_evaluation(ranks: Ranks, dataset: Dataset, networks: Sequence[object], split: str) -> None:
    """Ends every rank where they would score different samples, or different weights.

    Raises:
        UsageError: the message names what differs, and on which ranks.
    """
    if ranks.world == 1:
        return
    digest = hashlib.sha256(dataset.labels.tobytes())
    for index in range(len(dataset)):
        digest.update(dataset.key(index) + b"\0")
    weights = [weights_sha256(net.state_dict()) if isinstance(net, nn.Module) else None for net in networks]
    facts = {"split": split, "samples": len(dataset), "data (fingerprint)": digest.hexdigest(), "weights": weights}
    require_equal(ranks, facts)


def _difference(name: str, values: list[Any]) -> str | None:
    ranks_of: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        ranks_of.setdefault(json.dumps(value, sort_keys=True, default=str), []).append(rank)
    if len(ranks_of) == 1:
        return None
    parts = [
        f"{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'} on rank {', '.join(map(str, ranks))}"
        for text, ranks in ranks_of.items()
    ]
    return f"{name}: {'; '.join(parts)}"


def facts_of(recipe: Recipe, environment: Environment) -> dict[str, Any]:
    """What recipe and environment decide of a result, by dotted name."""
    facts = {f"recipe.{name}": value for name, value in _flat(encode(recipe)).items() if name != "bn_batch"}
    return {
        **facts,
        "ghost batch (group)": recipe.bn_batch,
        "device": environment.device.partition(":")[0],
        **{each.name: getattr(environment, each.name) for each in fields(environment) if each.name not in _OWN},
    }


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
