"""The head as a linear probe: against scikit-learn and torch's gradients, and in runs cut up and shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from threadpoolctl import threadpool_limits

import resnets
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.models.resnet import ResNet
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.training import probe
from resnets.training.fine_tuning import FineTuning
from resnets.training.probe import fit_head
from tests.command_line import TINY
from tests.training.cut import cut_after
from tests.training.runs import arguments, curve, events, run_resnets, sha_of
from tests.training.test_distributed import assert_close
from tests.training.test_loop import RECIPE, training_of

PROBED = "fine_tuning.head=probe"


def scaled(x: NDArray[Any]) -> NDArray[Any]:
    """Centred features, divided by their standard deviation over all of them alike."""
    centred = x - x.mean(0)
    result: NDArray[Any] = centred / np.sqrt((centred**2).mean())
    return result


def samples(count: int = 120, size: int = 9, classes: int = 4, apart: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features of normal distribution, each of its own scale, and classes whose means lie `apart`."""
    g = np.random.default_rng(0)
    targets = np.arange(count) % classes
    means = apart * g.normal(size=(classes, size))
    return (g.normal(size=(count, size)) + means[targets]) * g.uniform(0.5, 2, size), targets


def test_without_weights_to_begin_with_it_is_scikit_learns_regression() -> None:
    x, y = samples()
    weight, bias, chosen, *_ = fit_head(x, y, np.zeros((4, 9)), np.zeros(4), lambdas=[0.05])
    peer = LogisticRegression(C=1 / (0.05 * len(x)), tol=1e-10, max_iter=10_000).fit(scaled(x), y)
    assert chosen == 0.05
    ours = x @ weight.T + bias
    theirs = peer.decision_function(scaled(x))
    np.testing.assert_allclose(ours - ours.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True), atol=1e-4)


def test_with_weights_of_classes_it_is_scikit_learns_weighted_regression() -> None:
    x, y = samples()
    y = np.where(y == 3, 0, y)[:90]  # one class has half of the samples, and one has none
    x, weights = x[:90], (0.5, 1.5, 3.0, 1.0)
    weight, bias, *_ = fit_head(x, y, np.zeros((4, 9)), np.zeros(4), lambdas=[0.05], class_weights=weights)
    total = np.array(weights)[y].sum()
    peer = LogisticRegression(
        C=1 / (0.05 * total), class_weight=dict(enumerate(weights[:3])), tol=1e-10, max_iter=10_000
    ).fit(scaled(x), y)
    ours, theirs = (x @ weight.T + bias)[:, :3], peer.decision_function(scaled(x))
    np.testing.assert_allclose(ours - ours.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True), atol=1e-4)


def test_a_class_of_weight_0_is_not_learnt_and_equal_weights_change_no_bit() -> None:
    x, y = samples()
    begin = np.zeros((4, 9)), np.arange(4.0)
    plain = fit_head(x, y, *begin)
    equal = fit_head(x, y, *begin, class_weights=(1.0,) * 4)
    assert all(np.array_equal(a, b) for a, b in zip(plain[:2], equal[:2], strict=True))
    weight, bias, *_ = fit_head(x, y, *begin, class_weights=(1.0, 1.0, 1.0, 0.0), lambdas=[0.05])
    without = fit_head(x[y < 3], y[y < 3], *begin, lambdas=[0.05])
    assert bias[3] + weight[3] @ x.mean(0) == pytest.approx(3.0)  # as it was
    logits = x @ weight.T + bias, x @ without[0].T + without[1]
    assert (logits[0][y < 3, :3].argmax(1) == y[y < 3]).mean() == pytest.approx(
        (logits[1][y < 3, :3].argmax(1) == y[y < 3]).mean(), abs=0.03
    )


@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_the_probe_of_a_balanced_run_finds_rare_samples(balance: str, tmp_path: Path) -> None:
    """Of two classes, one is twenty times as frequent, and they overlap."""
    g = np.random.default_rng(0)

    def made(labels: NDArray[Any]) -> NDArray[Any]:
        level = g.normal(100 + 30 * labels, 25)[:, None, None, None]  # each image has a brightness of its own
        return g.normal(level, 10, (len(labels), 18, 18, 3)).clip(0, 255).astype(np.uint8)  # type: ignore[no-any-return]

    labels, held_out = np.array([0] * 200 + [1] * 10), np.array([0] * 60 + [1] * 60)
    images, val = made(labels), made(held_out)
    data = {"train": (images, labels), "val": (val, held_out)}
    settings = ("paper/cifar", *TINY, PROBED, "steps=1", "epochs=none", "optimizer.lr=1e-9")
    recall = []
    for each in (None, balance):
        run = resnets.train(*settings, data=data, out=tmp_path / str(each), device="cpu", balance=each)
        recall.append(resnets.evaluate(run, data=data).metrics["classes"]["1"]["recall"])
    assert recall[1] > recall[0] + 0.1


@pytest.mark.parametrize("size", [9, 60])
def test_lambda_is_the_one_that_cross_validation_chooses(size: int) -> None:
    """With more features than samples too, where the fit is in the coordinates of the samples."""
    x, y = samples(count=40, size=size, apart=3 / size**0.5)
    weight, bias, chosen, validation = fit_head(x, y, np.zeros((4, size)), np.zeros(4))
    inputs, losses, right = scaled(x), dict.fromkeys(probe.LAMBDAS, 0.0), dict.fromkeys(probe.LAMBDAS, 0.0)
    for own, held_out in PredefinedSplit(probe._folds(y, np.arange(len(y)))).split():
        for strength in probe.LAMBDAS:
            peer = LogisticRegression(C=1 / (strength * len(own)), tol=1e-8, max_iter=10_000).fit(inputs[own], y[own])
            losses[strength] -= peer.predict_log_proba(inputs[held_out])[np.arange(len(held_out)), y[held_out]].sum()
            right[strength] += peer.score(inputs[held_out], y[held_out]) * len(held_out)
    assert chosen == max(strength for strength, loss in losses.items() if loss <= 1.05 * min(losses.values()))
    assert validation is not None
    assert validation.rows.all()
    assert validation.loss == pytest.approx(min(losses.values()) / len(y), rel=0.01)  # as roughly as lambda is chosen
    assert validation.accuracy == pytest.approx(right[chosen] / len(y), abs=1 / len(y))
    again = fit_head(x, y, np.zeros((4, size)), np.zeros(4), lambdas=[chosen])
    np.testing.assert_allclose(x @ weight.T + bias, x @ again[0].T + again[1], atol=1e-2)
    assert probe.LAMBDAS[0] > chosen > probe.LAMBDAS[-1]


@pytest.mark.parametrize("size", [9, 60])
def test_the_fit_is_the_minimum_around_the_weights_to_begin_with(size: int) -> None:
    x, y = samples(count=40, size=size)
    weight0, bias0 = np.random.default_rng(1).normal(size=(5, size)), np.arange(5.0)  # no sample has the fifth class
    weight, bias, *_ = fit_head(x, y, weight0, bias0, lambdas=[0.3])
    deviation = float(np.sqrt(x.var(0).mean()))
    inputs = torch.from_numpy(scaled(x))
    change = ((torch.from_numpy(weight - weight0)) * deviation).requires_grad_()
    begin = torch.from_numpy(weight0 * deviation)
    shift = torch.from_numpy(bias + weight @ x.mean(0)).requires_grad_()
    loss = F.cross_entropy(inputs @ (begin + change).T + shift, torch.from_numpy(y)) + 0.15 * change.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert change.grad is not None
    assert shift.grad is not None
    assert float(change.grad.abs().max()) < 1e-5
    assert float(shift.grad[:4].abs().max()) < 1e-5
    assert float(shift.detach()[4]) == pytest.approx(4.0 + (weight0[4] @ x.mean(0)))
    far = fit_head(x, y, weight0, bias0, lambdas=[1e6])[0]
    np.testing.assert_allclose(far, weight0, atol=1e-4)


def test_a_class_is_recognized_by_the_answers_to_most_of_its_samples_where_no_other_class_has_the_same() -> None:
    answers = {0: [5, 5, 5, 2], 1: [3, 3], 2: [4], 3: [6, 6, 7, 7], 4: [1, 1, 1], 5: [1, 1, 8]}
    targets = np.concatenate([np.full(len(rows), label) for label, rows in answers.items()])
    features = np.eye(9)[np.concatenate([*answers.values()])]
    assert probe.recognized(features, targets, np.eye(9), np.zeros(9)) == {0: 5, 1: 3}
    bias = 2.0 * (np.arange(9) == 8)
    assert probe.recognized(features, targets, np.eye(9), bias) == {}  # all are answered with the last row


def test_folds_are_stratified_and_a_class_of_one_is_never_held_out() -> None:
    y = np.array([0] * 10 + [1] * 3 + [2])
    folds = probe._folds(y, np.arange(len(y)))
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert len(set(folds[10:13])) == 3
    assert folds[13] == -1
    assert fit_head(np.eye(3), np.arange(3), np.zeros((3, 3)), np.zeros(3))[2] == probe.DEFAULT


def test_views_of_a_sample_are_held_out_together() -> None:
    y = np.array([0] * 10 + [1] * 3 + [2])
    alone = probe._folds(y, np.arange(len(y)))
    assert probe._folds(np.tile(y, 2), np.tile(np.arange(len(y)), 2)).tolist() == np.tile(alone, 2).tolist()


def test_constant_features_and_equal_arrays_give_the_same_bits() -> None:
    x, y = samples()
    x[:, 3] = 7.0
    first, second = (fit_head(x, y, np.zeros((4, 9)), np.zeros(4)) for _ in range(2))
    assert np.isfinite(first[0]).all()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_a_small_fit_has_one_thread_whatever_blas_has() -> None:
    """With more, those of NumPy and of SciPy wait for one another, and sums depend on their number."""
    x, y = samples(400, 64)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(fit_head(x, y, np.zeros((4, 64)), np.zeros(4))[:3])
    assert all(np.array_equal(*pair) for pair in zip(*found, strict=True))


def test_features_are_computed_in_the_precision_of_training() -> None:
    heads = {}
    for precision in ("fp32", "bf16"):
        training, batches = training_of(replace(RECIPE, precision=precision, fine_tuning=FineTuning(head="probe")))
        assert training.precision == precision
        training.prepare(batches)
        heads[precision] = training.network.get_parameter("fc.weight").detach()
    difference = (heads["bf16"] - heads["fp32"]).abs().max()
    assert 0 < difference < 0.05 * heads["fp32"].abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
def test_the_head_of_a_run_begins_as_the_probe_of_its_initial_weights(known: bool) -> None:
    training, batches = training_of(replace(RECIPE, fine_tuning=FineTuning(head="probe"), ema=0.9))
    network = training.network
    assert isinstance(network, ResNet)
    layer = network.fc
    weight0, bias0 = np.zeros((10, 16)), np.zeros(10)
    if known:  # as weights that have two of the classes by name leave it
        with torch.no_grad():
            layer.weight[[2, 5]] = 0.3
            layer.bias[[2, 5]] = -1.0
        weight0[[2, 5]], bias0[[2, 5]] = 0.3, -1.0
    dataset = digits().train
    assert isinstance(dataset, InMemoryDataset)
    event = training.prepare(batches)
    assert event is not None
    assert event["samples"] == len(dataset)
    network.eval()
    ids = np.arange(len(dataset))
    inputs = batches._reader.normalize(torch.from_numpy(dataset.pixels[ids]))
    labels = dataset.targets["labels"]
    with torch.no_grad():
        features = network.forward_head(network.forward_features(inputs), pre_logits=True).numpy()
        ours = network(inputs).numpy()
        assert np.array_equal(training.evaluated_network.eval()(inputs).numpy(), ours)
    weight, bias, chosen, *_ = fit_head(features, labels, weight0, bias0)
    assert event["lambda"] == chosen
    np.testing.assert_allclose(ours, features @ weight.T + bias, atol=2e-3)
    assert 0.5 < (ours.argmax(1) == labels).mean() < 1  # random convolutions; a drawn head has a tenth
    assert training.prepare(batches) is not None
    training.steps_done = 1
    assert training.prepare(batches) is None


def test_a_run_that_is_cut_goes_on_bit_for_bit_and_begins_so_again(data: Path, tmp_path: Path) -> None:
    settings = (PROBED, "fine_tuning.unfreeze=[0.3]")
    assert main(arguments(data, tmp_path / "whole", *settings, epochs=2)) == 0
    cut_after(data, tmp_path / "cut", 15, *settings, epochs=2)
    cut_after(data, tmp_path / "early", 1, *settings, epochs=2, checkpoint_steps=None)
    for name in ("cut", "early"):
        resnets.resume(tmp_path / name)
        assert sha_of(tmp_path / name) == sha_of(tmp_path / "whole")
        assert curve(tmp_path / name) == curve(tmp_path / "whole")
    (fitted,) = [event for event in events(tmp_path / "whole") if event["event"] == "probe"]
    assert fitted["samples"] == 120
    assert fitted["lambda"] in probe.LAMBDAS


@pytest.mark.slow
def test_two_ranks_fit_what_one_does(data: Path, tmp_path: Path) -> None:
    settings = ("precision=fp32", "optimizer.lr=0.001", PROBED)
    for ranks in (1, 2):
        code, _, err = run_resnets(arguments(data, tmp_path / str(ranks), *settings, epochs=0.5), ranks=ranks)
        assert code == 0, err
    assert_close(tmp_path / "2", tmp_path / "1")


def test_a_task_without_one_class_for_each_sample_is_refused() -> None:
    with pytest.raises(UsageError, match=r"this is multi-label: give fine_tuning\.head=drawn"):
        replace(RECIPE, task=MultiLabel(), fine_tuning=FineTuning(head="probe"))
