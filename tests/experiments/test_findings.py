"""Sentences that are made from results, and keys of results under their old names."""

from __future__ import annotations

from typing import Any

from resnets.experiments import findings
from resnets.experiments.catalog import EXPERIMENTS
from resnets.experiments.experiment import Outcome
from resnets.experiments.nets import cifar_net
from resnets.experiments.result_keys import with_new_keys, with_old_keys


def outcome(layers: int, *, shortcut: bool, **values: list[Any]) -> Outcome:
    """One net, with a run for each entry of `values`."""
    runs = tuple(dict(zip(values, run, strict=True)) for run in zip(*values.values(), strict=True))
    return Outcome(cifar_net(layers, shortcut=shortcut), tuple(range(len(runs))), runs)


def test_depth_compares_the_shallowest_and_the_deepest() -> None:
    outcomes = [
        outcome(56, shortcut=False, final_train_error=[0.2, 0.3], final_test_error=[0.3, 0.3]),
        outcome(20, shortcut=False, final_train_error=[0.1, 0.1], final_test_error=[0.2, 0.2]),
        outcome(20, shortcut=True, final_train_error=[0.1], final_test_error=[0.1]),
    ]
    assert findings.depth(outcomes) == [
        "plain: +15.00 points of training error from 20 to 56 layers (10.00% to 25.00%).",
        "plain: +10.00 points of test error from 20 to 56 layers (20.00% to 30.00%).",
    ]


def test_responses_say_whether_the_papers_orderings_are_found() -> None:
    plain = outcome(20, shortcut=False, mean_std=[1.0])
    shallow, deep = (outcome(n, shortcut=True, mean_std=[v]) for n, v in ((20, 0.8), (56, 0.9)))
    listed, first, second = findings.responses([plain, deep, shallow])
    assert "cifar_plain20 1.000, cifar_resnet56 0.900, cifar_resnet20 0.800" in listed
    assert "is found here" in first
    assert "is not found here" in second


def test_failed_trainings_are_named() -> None:
    failed = Outcome(cifar_net(56, shortcut=False), (0,), ({"failed": "The gradient is not finite."},))
    sentences = findings.mean_of("lag1", "Correlation")([outcome(20, shortcut=True, lag1=[0.5, 0.7]), failed])
    assert sentences == [
        "Correlation: cifar_resnet20 0.6.",
        "Training ended with a number that is not finite: cifar_plain56.",
    ]


def test_errors_with_test_time_augmentation_keep_their_old_keys() -> None:
    old = {"view_error": 0.25, "view_top5_error": 0.08, "split": "test"}
    new = {"tta_error": 0.25, "tta_top5_error": 0.08}
    assert with_new_keys(old) == old | new
    assert with_old_keys(new | {"split": "test"}) == old | new
    assert with_new_keys({"test_error": [1.0]}) == with_old_keys({"test_error": [1.0]}) == {"test_error": [1.0]}
    for name in ("table2", "table3", "table4"):
        for net in EXPERIMENTS[name].nets:
            assert net.paper["view_error"] == net.paper["tta_error"]
