"""Averages of the weights that are evaluated and saved: WiSE-FT by its equation, and in runs that are cut, made longer
or shared. The moving average is in `test_loop`."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import resnets
from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.training import memory
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import Recipe
from tests.training.continued.conftest import TINY
from tests.training.cut import cut_after
from tests.training.runs import arguments, curve, run_resnets, sha_of
from tests.training.test_distributed import assert_close
from tests.training.test_loop import RECIPE, training_of

ALPHA = 0.7
WISE_FT = replace(RECIPE, steps=4, fine_tuning=FineTuning(wise_ft=ALPHA))


def between(initial: dict[str, Tensor], trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """Equation 1 of Wortsman et al. 2022, in float64; counters are those of the trained network."""
    return {
        name: (1 - ALPHA) * initial[name].double() + ALPHA * value.double() if value.is_floating_point() else value
        for name, value in trained.items()
    }


def assert_between(found: dict[str, Tensor], initial: dict[str, Tensor], trained: dict[str, Tensor]) -> None:
    for name, expected in between(initial, trained).items():
        torch.testing.assert_close(found[name].to(expected.dtype), expected, rtol=1e-5, atol=1e-6)


def test_what_is_evaluated_lies_between_the_first_weights_and_the_last() -> None:
    training, batches = training_of(WISE_FT)
    plain, _ = training_of(replace(WISE_FT, fine_tuning=FineTuning()))
    initial = copy.deepcopy(training.network.state_dict())
    for step in range(4):
        training.step(batches.make(step))
        plain.step(batches.make(step))
        assert_between(training.evaluated_network.state_dict(), initial, training.network.state_dict())
    for name, value in plain.network.state_dict().items():  # it changes nothing of the training
        assert torch.equal(training.network.state_dict()[name], value), name


def test_the_first_weights_are_those_of_the_probe() -> None:
    training, batches = training_of(replace(WISE_FT, fine_tuning=FineTuning(wise_ft=ALPHA, head="probe")))
    drawn = training.network.get_parameter("fc.weight").detach().clone()
    training.prepare(batches)
    initial = copy.deepcopy(training.network.state_dict())
    assert not torch.equal(initial["fc.weight"], drawn)
    for name, value in training.evaluated_network.state_dict().items():
        torch.testing.assert_close(value, initial[name])
    training.step(batches.make(0))
    assert_between(training.evaluated_network.state_dict(), initial, training.network.state_dict())


@pytest.fixture(scope="module")
def weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return (
        wise_ft(data, tmp_path_factory.mktemp("weights") / "run", "fine_tuning.wise_ft=1", epochs=1)
        / "model.safetensors"
    )


def wise_ft(data: Path, out: Path, *more: str, epochs: float = 2, **options: Any) -> Path:
    settings = [a for a in arguments(data, out, *SETTINGS, *more) if "=" in a]
    resnets.train("paper/cifar", *settings, data=str(data), out=out, epochs=epochs, **options)
    return out


SETTINGS = (*TINY, "ema=none", f"fine_tuning.wise_ft={ALPHA}")


def test_a_run_that_is_cut_goes_on_bit_for_bit_and_so_does_its_extension(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    whole = wise_ft(data, tmp_path / "whole", weights=weights)
    cut = tmp_path / "cut"
    cut_after(data, cut, 15, *SETTINGS, epochs=2, weights=weights)
    resnets.resume(cut)
    assert sha_of(cut) == sha_of(whole)
    assert curve(cut) == curve(whole)
    assert resnets.replay(cut, step=15).step == 15
    before = sha_of(whole)
    for run in (whole, cut):
        resnets.resume(run, epochs="+1")
    assert sha_of(cut) == sha_of(whole) != before


@pytest.mark.slow
def test_two_ranks_average_as_one_does(data: Path, weights: Path, tmp_path: Path) -> None:
    settings = (*SETTINGS, "optimizer.lr=0.01", "--weights", str(weights))
    for ranks in (1, 2):
        code, _, err = run_resnets(arguments(data, tmp_path / str(ranks), *settings, epochs=2), ranks=ranks)
        assert code == 0, err
    assert_close(tmp_path / "2", tmp_path / "1")


def test_exact_statistics_are_those_of_the_average(data: Path, weights: Path, tmp_path: Path) -> None:
    plain = resnets.load(wise_ft(data, tmp_path / "plain", weights=weights)).network.state_dict()
    exact = resnets.load(wise_ft(data, tmp_path / "exact", "precise_bn=60", weights=weights)).network.state_dict()
    differing = {name for name, value in exact.items() if not torch.equal(value, plain[name])}
    assert differing == {name for name, _ in resnets.load(tmp_path / "plain").network.named_buffers()}


def test_recipes_without_it_are_written_as_before() -> None:
    assert "wise_ft" not in encode(FineTuning(freeze=1))
    assert decode(Recipe, encode(WISE_FT)) == WISE_FT


def test_two_copies_of_the_network_are_counted() -> None:
    counted = [memory.bytes_per_element(each, "fp32").average for each in (RECIPE, replace(RECIPE, ema=0.9), WISE_FT)]
    assert counted == [0, 4, 8]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fine_tuning.wise_ft=0", r"above 0 and at most 1, not 0\."),
        ("fine_tuning.wise_ft=1.5", "above 0 and at most 1"),
        ("ema=0.9", "two averages of the weights"),
    ],
)
def test_what_cannot_be_averaged_is_refused(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WISE_FT.with_overrides([override])


def test_weights_that_are_drawn_are_not_averaged_with(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --weights"):
        wise_ft(data, tmp_path / "run")
