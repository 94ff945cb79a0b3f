"""Ranks whose settings or versions differ are refused by name on every rank; rank 0 decides where one has to."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import pytest

from resnets.core.errors import DataError, TrainingError, UsageError
from resnets.recipes.catalog import find
from resnets.training import agreement, environment, memory
from resnets.training.distributed import Ranks
from tests.training.thread_ranks import on_each

HERE = environment.choose("cpu", "fp32")


def test_what_all_ranks_have_in_common_is_let_through() -> None:
    facts = agreement.facts_of(find("paper/cifar"), HERE)
    assert on_each(3, lambda ranks: agreement.require_equal(ranks, facts)) == [None] * 3
    assert {"recipe.bn_batch", "torch", "torchvision", "resnets", "python", "numpy", "pillow", "precision"} <= set(
        facts
    )
    assert "recipe.optimizer.lr" in facts
    # Not compared: the threads of rank 0 count, and hardware may differ.
    other = replace(HERE, threads=HERE.threads + 3, hardware="another", cpu_capability="another")
    assert agreement.facts_of(find("paper/cifar"), other) == facts


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("optimizer.lr=0.25", r"recipe\.optimizer\.lr: 0\.1 on rank 0, 2; 0\.25 on rank 1"),
        ("seed=3", r"recipe\.seed: 0 on rank 0, 2; 3 on rank 1"),
        ("bn_batch=16", r"recipe\.bn_batch: null on rank 0, 2; 16 on rank 1"),
        ("memory_limit=2GiB", r'recipe\.memory_limit: null on rank 0, 2; "2GiB" on rank 1'),
        ("optimizer=AdamW", r"recipe\.optimizer\.momentum: 0\.9 on rank 0, 2; null on rank 1"),
    ],
)
def test_a_setting_that_differs_is_named_with_its_ranks_on_all_of_them(setting: str, named: str) -> None:
    recipe = find("paper/cifar")
    found = on_each(
        3,
        lambda ranks: agreement.require_equal(
            ranks, agreement.facts_of(recipe.with_overrides([setting]) if ranks.rank == 1 else recipe, HERE)
        ),
    )
    for error in found:
        assert isinstance(error, UsageError)
        with pytest.raises(UsageError, match=named):
            raise error


@pytest.mark.parametrize(
    "name", ["torch", "torchvision", "numpy", "pillow", "python", "resnets", "cudnn", "precision", "layout"]
)
def test_another_version_or_precision_is_named(name: str) -> None:
    other = copy.copy(HERE)
    object.__setattr__(other, name, "another")
    found = on_each(
        2,
        lambda ranks: agreement.require_equal(
            ranks, agreement.facts_of(find("paper/cifar"), other if ranks.rank else HERE)
        ),
    )
    assert all(f'{name}: "' in str(error) and '"another" on rank 1' in str(error) for error in found)


def test_a_rank_that_cannot_begin_is_named_on_the_others() -> None:
    def action(ranks: Ranks) -> str:
        def read() -> str:
            if ranks.rank == 1:
                raise DataError("There is no folder here.")
            return "data"

        return agreement.together(ranks, read)

    first, second, third = on_each(3, action)
    assert isinstance(second, DataError)
    for error in (first, third):
        assert isinstance(error, TrainingError)
        assert "Rank 1 of 3 cannot begin: There is no folder here." in str(error)


def test_rank_0_decides_for_all() -> None:
    assert on_each(3, lambda ranks: agreement.from_rank_0(ranks, lambda: f"of rank {ranks.rank}")) == ["of rank 0"] * 3

    def refused() -> None:
        raise UsageError("It cannot be kept.")

    found = on_each(2, lambda ranks: agreement.from_rank_0(ranks, refused))
    assert isinstance(found[0], UsageError)
    assert "Rank 0 of 2 cannot begin: It cannot be kept." in str(found[1])


def test_under_a_limit_of_memory_all_ranks_take_one_ghost_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ranks measure of their own memory differs: one had 64, another 16."""
    recipe = replace(find("paper/cifar"), memory_limit="1GiB", bn_batch=128)
    needs = {
        size: next(
            left for left in range(0, 2**30, 2**20)
            if fits(recipe, size, left)
        )
        for size in (64, 16)
    }  # fmt: skip
    rooms = [needs[64], needs[16]]

    def decide(ranks: Ranks) -> int | None:
        return memory.within_limit(recipe, HERE, ranks)[0].bn_batch

    local = threading.local()
    monkeypatch.setattr(memory, "room", lambda recipe, device: rooms[local.rank])

    def on_rank(ranks: Ranks) -> int | None:
        local.rank = ranks.rank
        return decide(ranks)

    assert [memory.bn_batch_within_limit(recipe, "fp32", 128, left) for left in rooms] == [64, 16]
    assert on_each(2, on_rank) == [16, 16]


def fits(recipe: Any, size: int, left: int) -> bool:
    try:
        return memory.bn_batch_within_limit(recipe, "fp32", 128, left) >= size
    except UsageError:
        return False
