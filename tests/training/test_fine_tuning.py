"""Which parts learn, from when on and at which rate: against plain torch, timm, and runs cut up and shared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import timm
import timm.optim
import torch
import torch.nn.functional as F
from torch import nn

import resnets
from resnets.cli import main
from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.training import budget, optimizers
from resnets.training.extension import restarted
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import LAMB, SGD, AdamW, Muon, Recipe
from resnets.training.schedules import Constant
from tests.training.cut import cut_after
from tests.training.runs import arguments, curve, events, run_resnets, sha_of
from tests.training.test_distributed import assert_close
from tests.training.test_loop import RECIPE, SPEC, training_of

GRADUAL = "fine_tuning.unfreeze=[0.2,0.5]"
DECAYED = "fine_tuning.layer_decay=0.7"


def tuned(recipe: Recipe = RECIPE, **settings: Any) -> Recipe:
    return replace(recipe, fine_tuning=FineTuning(**settings))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0] * 10),
        ({"freeze": 2}, [2] * 10),
        ({"unfreeze": (0.2,)}, [3, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
        ({"unfreeze": (0.2, 0.5)}, [3, 3, 2, 2, 2, 0, 0, 0, 0, 0]),
        ({"unfreeze": (0.0, 0.2, 0.5)}, [2, 2, 1, 1, 1, 0, 0, 0, 0, 0]),
        ({"freeze": 1, "unfreeze": (0.1, 0.3)}, [3, 2, 2, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_frozen_parts_are_a_function_of_the_share_that_is_done(settings: dict[str, Any], expected: list[int]) -> None:
    assert [FineTuning(**settings).frozen(step / 10, SPEC) for step in range(10)] == expected


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, nesterov=True, weight_decay=5e-4), AdamW(lr=3e-3)])
@pytest.mark.parametrize("freeze_statistics", [False, True])
def test_ten_steps_of_gradual_unfreezing_are_those_of_a_plain_loop(
    optimizer: SGD | AdamW, freeze_statistics: bool
) -> None:
    """Torch's own optimiser gets a group for each parameter once its part learns."""
    settings = FineTuning(freeze=1, unfreeze=(0.2, 0.5), layer_decay=0.5, freeze_statistics=freeze_statistics)
    recipe = replace(RECIPE, optimizer=optimizer, schedule=Constant(), fine_tuning=settings, clip_norm=1.0)
    training, batches = training_of(recipe)
    network = copy.deepcopy(training.network)
    began = {"fc": 0, "layer2": 2, "layer1": 5}
    rates = {"fc": 1.0, "layer2": 0.5, "layer1": 0.25}
    peer: torch.optim.Optimizer | None = None
    for step in range(10):
        for name, module in network.named_children():
            learns = began.get(name, 99) <= step
            module.train(learns).requires_grad_(learns)
            if freeze_statistics:
                for each in (each for each in module.modules() if isinstance(each, nn.BatchNorm2d)):
                    each.eval()
        for name, first in began.items():
            if first == step:
                kinds = (optimizer.weight_decay, lambda p: p.ndim > 1), (
                    optimizer.weight_decay if optimizer.decay_norms else 0.0, lambda p: p.ndim <= 1,
                )  # fmt: skip
                for decay, fits in cast(list[tuple[float, Callable[[Any], bool]]], list(kinds)):
                    chosen = [p for p in network.get_submodule(name).parameters() if fits(p)]
                    group = {"params": chosen, "lr": optimizer.lr * rates[name], "weight_decay": decay}
                    if peer is not None:
                        peer.add_param_group(group)
                    elif isinstance(optimizer, SGD):
                        peer = torch.optim.SGD([group], lr=1.0, momentum=0.9, nesterov=True)
                    else:
                        peer = torch.optim.AdamW([group], lr=1.0)
        assert peer is not None
        batch = batches.make(step)
        loss = F.cross_entropy(network(batch["inputs"]), batch["labels"])
        peer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        peer.step()
        assert training.step(batch).item() == pytest.approx(loss.item(), rel=1e-4)
    for name, theirs in network.state_dict().items():
        torch.testing.assert_close(training.network.state_dict()[name], theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{"freeze": 2}, {"unfreeze": (0.9,)}, {"freeze_statistics": True}])
def test_what_is_frozen_stays_to_the_last_bit(settings: dict[str, Any]) -> None:
    training, batches = training_of(tuned(replace(RECIPE, bn_batch=8, ema=0.9), **settings))
    before = copy.deepcopy(training.network.state_dict())
    for step in range(3):
        training.step(batches.make(step))
    changed = {name for name, value in training.network.state_dict().items() if not torch.equal(value, before[name])}
    average = training.evaluated_network.state_dict()
    assert {name for name, value in average.items() if not torch.equal(value, before[name])} == changed
    buffers = {name for name, _ in training.network.named_buffers()}
    if "freeze_statistics" in settings:
        assert changed == before.keys() - buffers
    else:
        learning = ("fc.",) if "unfreeze" in settings else ("layer2.", "fc.")
        assert changed == {name for name in before if name.startswith(learning)}


def test_the_optimizer_has_no_state_for_what_never_learns_and_zeros_for_what_does_later() -> None:
    training, batches = training_of(tuned(replace(RECIPE, optimizer=AdamW(lr=1e-3)), freeze=1, unfreeze=(0.2, 0.5)))
    for step in range(3):  # in the third, the last stage has begun
        training.step(batches.make(step))
    state = training.state()
    assert "optimizer.conv1.weight.step" not in state
    assert [float(state[f"optimizer.{name}.step"]) for name in ("layer1.0.conv1.weight", "layer2.0.conv1.weight")] == [
        0.0, 1.0,
    ]  # fmt: skip
    assert float(state["optimizer.fc.weight.step"]) == 3.0


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (SGD(weight_decay=0.05, decay_norms=False), "resnet18"),
        (AdamW(), "resnetv2_50"),
        (LAMB(weight_decay=0.05), "resnet18"),
    ],
)
def test_rates_by_layer_are_timms(choice: SGD | AdamW | LAMB, name: str) -> None:
    peer = timm.create_model(name, num_classes=5)
    groups = cast(Any, timm.optim).param_groups_layer_decay(peer, weight_decay=0.05, layer_decay=0.7)
    names = {id(p): name for name, p in peer.named_parameters()}
    theirs = {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    network = cast(nn.Module, resnets.create(name, classes=5))
    built = optimizers.build(choice, network, layer_decay=0.7)
    own_names = {id(p): name for name, p in network.named_parameters()}
    ours = {
        own_names[id(p)]: (g.relative_lr, cast(Any, g.rule).weight_decay) for g in built.groups for p in g.parameters
    }
    if name == "resnet18":  # whose names are ours
        assert {key: pytest.approx(value) for key, value in theirs.items()} == ours
    assert sorted(ours.values()) == [pytest.approx(value) for value in sorted(theirs.values())]


@pytest.mark.parametrize(
    "settings", [(GRADUAL, DECAYED), ("fine_tuning.freeze=1", "fine_tuning.freeze_statistics=true")]
)
def test_a_run_that_is_cut_goes_on_bit_for_bit(settings: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path / "whole", *settings, epochs=2)) == 0
    cut_after(data, tmp_path / "cut", 15, *settings, epochs=2)
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(GRADUAL, DECAYED), ("fine_tuning.freeze_statistics=true", "bn_batch=12")])
def test_two_ranks_train_as_one_does(more: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    settings = ("precision=fp32", "optimizer.lr=0.01", *more)
    for ranks in (1, 2):
        code, _, err = run_resnets(arguments(data, tmp_path / str(ranks), *settings, epochs=2), ranks=ranks)
        assert code == 0, err
    assert_close(tmp_path / "2", tmp_path / "1")
    assert [e["step"] for e in events(tmp_path / "2") if e["event"] == "step"]


def test_files_and_hashes_of_recipes_without_it_stay() -> None:
    assert "fine_tuning" not in encode(RECIPE)
    recipe = tuned(freeze=1, unfreeze=(0.25,), layer_decay=0.8, head="drawn")
    assert decode(Recipe, encode(recipe)) == recipe
    assert RECIPE.with_overrides(["fine_tuning.unfreeze=[0.25]"]).fine_tuning == FineTuning(unfreeze=(0.25,))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["fine_tuning.freeze=4"], "at most 3 here"),
        (["fine_tuning.freeze=-1"], "0 or more"),
        (["fine_tuning.freeze=2", "fine_tuning.unfreeze=[0.1,0.2]"], "only 1 of the 3 parts"),
        (["fine_tuning.unfreeze=[0.5,0.2]"], "that rise"),
        (["fine_tuning.unfreeze=[1.0]"], "below 1"),
        (["fine_tuning.layer_decay=0"], "above 0"),
        (["fine_tuning.layer_decay=0.5", "optimizer=Muon"], "Muon has rates of its own"),
        (["fine_tuning.unfreeze=[0.5]", "cuda_graph=true"], "CUDA graph"),
        (["fine_tuning.freeze=1", "precise_bn=100"], "precise_bn=0"),
        (["fine_tuning.haed=probe"], "did you mean head"),
    ],
)
def test_settings_that_exclude_one_another_are_refused(override: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RECIPE.with_overrides(override)
    assert replace(RECIPE, optimizer=Muon()).fine_tuning == FineTuning()


def test_an_extension_goes_on_with_all_that_has_begun() -> None:
    longer = restarted(tuned(freeze=1, unfreeze=(0.2,), layer_decay=0.5, head="drawn"), 2.0)
    assert longer.fine_tuning == FineTuning(freeze=1, layer_decay=0.5)


def test_a_time_budget_knows_that_steps_with_frozen_parts_are_cheaper() -> None:
    costs = [budget._cost(tuned(unfreeze=(0.2, 0.5)), share) for share in (0.0, 0.3, 0.6)]
    assert 1 / 3 < costs[0] < 0.35  # the head has next to no work
    assert costs[0] < costs[1] < costs[2] == 1.0
    assert budget._cost(tuned(freeze=2), 0.0) == 1.0  # measured so
