"""Checks that all ranks have the same data, settings and versions before they train together.

Ranks that differ would not fail by themselves: each would add gradients of its own data, at its own settings, to the
others'. So all ranks compare what they have, and a difference raises an error that names it on every rank before the
first step. If one rank fails on its own (it cannot read its data, or keep a limit of memory), all of them raise an
error too, instead of waiting for that rank.

Every rank uses as many torch threads as rank 0. Hardware may differ between ranks: it changes the rounding of what a
rank computes, as it does between machines.
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
_MAY_DIFFER = ("device", "hardware", "cpu_capability", "threads")  # fields of an environment
_SHOWN = 60  # characters of a value


def together(ranks: Ranks, action: Callable[[], T]) -> T:
    """Returns the result of `action` on this rank, once it has succeeded on all ranks.

    Raises:
        ResnetsError: it failed on this rank.
        TrainingError: it failed on another rank; the message has that rank's number and error.
    """
    if ranks.world == 1:
        return action()
    outcome: T | None = None
    failure: ResnetsError | None = None
    try:
        outcome = action()
    except ResnetsError as error:
        failure = error
    ranks.barrier()  # a rank may take much longer than another, and `gather` has a time limit
    failures = ranks.gather(str(failure) if failure else None)
    if failure is not None:
        raise failure
    _raise_first(failures, ranks.world)
    return cast(T, outcome)


def from_rank_0(ranks: Ranks, action: Callable[[], T]) -> T:
    """Returns the result of `action`, which rank 0 alone runs, on every rank.

    Raises:
        ResnetsError: it failed; on rank 0.
        TrainingError: it failed; on the other ranks, with the same message.
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
    """Checks that `facts` (by name, JSON-ready) are equal on all ranks.

    Raises:
        UsageError: they are not; on every rank. The message names each fact that differs, with its values and ranks.
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


def require_equal_evaluation(
    ranks: Ranks, dataset: Dataset, networks: Sequence[object], split: str, settings: Mapping[str, Any] | None = None
) -> None:
    """Checks that all ranks would score the same samples with the same weights and settings.

    Args:
        settings: what else decides the scores, by name, JSON-ready.

    Raises:
        UsageError: they would not; on every rank. The message names what differs, and on which ranks.
    """
    if ranks.world == 1:
        return
    digest = hashlib.sha256(b"".join(values.tobytes() for _, values in sorted(dataset.targets.items())))
    for index in range(len(dataset)):
        digest.update(dataset.key(index) + b"\0")
    weights = [weights_sha256(net.state_dict()) if isinstance(net, nn.Module) else None for net in networks]
    facts = {"split": split, "samples": len(dataset), "data (fingerprint)": digest.hexdigest(), "weights": weights}
    require_equal(ranks, facts | dict(settings or {}))


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
    """Returns all of recipe and environment that decides a result, by dotted name."""
    return {
        **{f"recipe.{name}": value for name, value in _flat(encode(recipe)).items()},
        "device": environment.device.partition(":")[0],
        **{each.name: getattr(environment, each.name) for each in fields(environment) if each.name not in _MAY_DIFFER},
    }


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
