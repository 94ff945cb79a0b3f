"""Recipes for more devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resnets
from resnets.errors import UsageError
from resnets.recipes.catalog import find
from resnets.training.schedules import warmup_factor
from tests.training.runs import arguments, finish, make_pictures, start


def rates(recipe: resnets.Recipe, samples: int) -> list[float]:
    warm = recipe.steps_at(recipe.warmup.epochs, samples) if recipe.warmup else 0
    return [recipe.optimizer.lr * warmup_factor(recipe.warmup, step, warm) for step in range(warm + 2)]


def test_goyal_2017_at_8192_pictures_a_step() -> None:
    """Section 5.1: 0.1 at 256, 3.2 at 8,192, reached from 0.1 over 5 epochs; batch norm keeps its sample."""
    base = find("paper/cifar").with_overrides(["batch=256", "group=32", "epochs=90"])
    large = resnets.large_batch(base, 8192)
    assert (large.batch, large.group, large.epochs) == (8192, 32, 90)
    assert large.optimizer.lr == pytest.approx(3.2)
    assert large.initialization.zero_init_last
    first, *_, last, after = rates(large, 1_281_167)
    assert 0.1 < first < 0.11
    assert last == after == pytest.approx(3.2)
    assert len(rates(large, 1_281_167)) == 782 + 2  # 5 epochs of 156.4 steps


def test_a_length_in_steps_shrinks_as_the_batch_grows() -> None:
    large = resnets.large_batch(find("paper/cifar"), 512)
    assert (large.steps, large.group) == (16_000, 128)
    assert large.total_steps(50_000) * 512 == 64_000 * 128


def test_what_the_rule_does_not_cover_is_refused() -> None:
    recipe = find("paper/cifar")
    with pytest.raises(UsageError, match="multiples of paper/cifar's groups of 128"):
        resnets.large_batch(recipe, 200)
    with pytest.raises(UsageError, match="another optimiser"):
        resnets.large_batch(recipe.with_overrides(["optimizer=AdamW"]), 256)
    with pytest.raises(UsageError, match="warm-up of its own"):
        resnets.large_batch(recipe.with_overrides(["warmup=Warmup"]), 256)


def test_from_the_command_line(tmp_path: Path) -> None:
    data = make_pictures(tmp_path / "data")
    argv = arguments(data, tmp_path / "r", "--large-batch", "48", epochs=6)
    code, _, err = finish(start(argv))
    assert code == 0, err
    written = json.loads((tmp_path / "r" / "recipe.json").read_text())["recipe"]
    assert (written["batch"], written["group"], written["epochs"]) == (48, 4, 6)
    assert written["optimizer"]["lr"] == pytest.approx(0.4)
    log = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    lrs = [event["lr"] for event in log if event["event"] == "step"]
    assert max(lrs[:3]) < 0.4
