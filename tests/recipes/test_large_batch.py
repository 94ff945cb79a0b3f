"""Recipes for larger batches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.recipes.catalog import find
from resnets.training.schedules import OneCycle, Warmup, warmup_factor
from tests.training.runs import arguments, make_images, run_resnets


def rates(recipe: resnets.Recipe, samples: int) -> list[float]:
    warm = recipe.steps_at(recipe.warmup.epochs, samples) if recipe.warmup else 0
    return [recipe.optimizer.lr * warmup_factor(recipe.warmup, step, warm) for step in range(warm + 2)]


def test_goyal_2017_at_8192_images_a_step() -> None:
    """Section 5.1: 0.1 at 256, 3.2 at 8,192, reached from 0.1 over 5 epochs; batch norm keeps its batch."""
    base = find("paper/cifar").with_overrides(["batch=256", "bn_batch=32", "epochs=90"])
    large = resnets.large_batch(base, 8192)
    assert (large.batch, large.bn_batch, large.epochs) == (8192, 32, 90)
    assert large.optimizer.lr == pytest.approx(3.2)
    assert large.initialization.zero_init_last
    first, *_, last, after = rates(large, 1_281_167)
    assert 0.1 < first < 0.11
    assert last == after == pytest.approx(3.2)
    assert len(rates(large, 1_281_167)) == 782 + 2  # 5 epochs of 156.4 steps


def test_a_length_in_steps_shrinks_as_the_batch_grows() -> None:
    large = resnets.large_batch(find("paper/cifar"), 512)
    assert (large.steps, large.bn_batch) == (16_000, 128)
    assert large.total_steps(50_000) * 512 == 64_000 * 128


@pytest.mark.parametrize(("batch", "start"), [(256, 0.1), (2048, 1 / 32)])
def test_a_schedule_that_rises_is_the_only_warm_up(batch: int, start: float) -> None:
    base = find("digits")
    large = resnets.large_batch(base, batch)
    assert large.warmup is None
    assert large.schedule == OneCycle(start=start)
    assert large.optimizer.lr == pytest.approx(base.optimizer.lr * batch / 64)


def test_a_schedule_that_only_falls_is_warmed_up() -> None:
    base = replace(find("digits"), schedule=OneCycle(peak=0))
    large = resnets.large_batch(base, 256)
    assert large.warmup == Warmup(epochs=5, factor=0.25)
    assert large.schedule == base.schedule


def test_a_warm_up_longer_than_the_run_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match=r"warm-up takes 5 epochs and the run 3\.03, .*--epochs.*warmup\.epochs=N"):
        resnets.train("digits", "schedule=Cosine", large_batch=128, epochs=3, out=out, device="cpu")
    with pytest.raises(UsageError, match=r"warm-up takes 2 epochs and the run 1\.\d+, "):
        resnets.train("digits", "warmup=Warmup", "warmup.epochs=2", "steps=40", out=out, device="cpu")
    assert not out.exists()
    find("digits").with_overrides(["warmup=Warmup", "warmup.epochs=40"]).check_length(1437)  # the whole run


def test_what_the_rule_does_not_cover_is_refused() -> None:
    recipe = find("paper/cifar")
    with pytest.raises(UsageError, match="multiples of 128, the bn_batch of paper/cifar"):
        resnets.large_batch(recipe, 200)
    with pytest.raises(UsageError, match="another optimiser"):
        resnets.large_batch(recipe.with_overrides(["optimizer=AdamW"]), 256)
    with pytest.raises(UsageError, match="warm-up of its own"):
        resnets.large_batch(recipe.with_overrides(["warmup=Warmup"]), 256)


def test_from_the_command_line(tmp_path: Path) -> None:
    data = make_images(tmp_path / "data")
    argv = arguments(data, tmp_path / "r", "--large-batch", "48", epochs=6)
    code, _, err = run_resnets(argv)
    assert code == 0, err
    written = json.loads((tmp_path / "r" / "recipe.json").read_text())["recipe"]
    assert (written["batch"], written["bn_batch"], written["epochs"]) == (48, 4, 6)
    assert written["optimizer"]["lr"] == pytest.approx(0.4)
    log = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    lrs = [event["lr"] for event in log if event["event"] == "step"]
    assert max(lrs[:3]) < 0.4
