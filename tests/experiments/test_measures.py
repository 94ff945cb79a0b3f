"""What is measured of a net, against straightforward implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import resnets
from resnets.experiments import measures
from resnets.experiments.catalog import choose_nets, find
from resnets.experiments.trial import Trial
from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms.normalize import normalize
from resnets.modalities.image.transforms.resize import prepare


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    out = tmp_path_factory.mktemp("experiments") / "flow"
    experiment = find("gradient-flow")
    resnets.reproduce("gradient-flow", data="digits", seeds=1, models="cifar_resnet20", epochs=0.5, out=out)
    recipe = experiment.recipe("digits").with_length(epochs=0.5)
    return Trial(choose_nets(experiment, "cifar_resnet20")[0], recipe, out / "runs" / "cifar_resnet20-0", snapshots=8)


def all_images(trial: Trial) -> tuple[torch.Tensor, torch.Tensor]:
    """All test images, prepared one at a time, and their labels."""
    recipe, data = trial.resolved
    p, test = cast(Preprocessing, recipe.preprocessing), cast(ImageDataset, data.test)
    pixels = np.stack([prepare(test.image(i, p.color), p) for i in range(len(data.test))])
    return normalize(torch.from_numpy(pixels), p), torch.from_numpy(data.test.targets["labels"])


def test_all_test_images_are_used_or_some_evenly_spaced(trial: Trial) -> None:
    images, labels = (torch.cat(each) for each in zip(*measures._test_images(trial), strict=True))
    assert images.shape == (360, 1, 8, 8)
    torch.testing.assert_close(images, all_images(trial)[0])
    assert labels.equal(all_images(trial)[1])
    ends, of_ends = next(measures._test_images(trial, 2))
    assert ends.equal(images[[0, -1]])
    assert of_ends.equal(labels[[0, -1]])


def test_responses_are_those_behind_each_norm(trial: Trial) -> None:
    found = measures.responses(trial)
    network: Any = trial.network
    x = all_images(trial)[0]
    with torch.inference_mode():
        stem = network.bn1(network.conv1(x))
        block = network.layer1[0]
        inner = block.bn1(block.conv1(F.relu(stem)))
        outer = block.bn2(block.conv2(F.relu(inner)))
    assert found["layers"][:3] == ["bn1", "layer1.0.bn1", "layer1.0.bn2"]
    assert len(found["layers"]) == 19  # every 3x3 convolution of 20 layers
    assert found["std"][:3] == pytest.approx([float(np.std(v.numpy())) for v in (stem, inner, outer)], rel=1e-4)
    assert found["scale"][0] == pytest.approx(float(network.bn1.weight.detach().abs().mean()))


def test_gradient_flow_is_the_gradient_of_the_first_batch(trial: Trial) -> None:
    found = measures.gradient_flow(trial)
    batch = trial.first_batch()
    network = trial.initial_network().train()
    F.cross_entropy(network(batch["inputs"]), batch["labels"]).backward()  # type: ignore[no-untyped-call]
    for place, name in ((0, "conv1.weight"), (-1, "layer3.2.conv2.weight")):
        weight = network.get_parameter(name)
        assert weight.grad is not None
        expected = float(weight.grad.norm() / weight.detach().norm())
        assert found["flow"]["0"][place] == pytest.approx(expected, rel=1e-5)
    assert len(found["layers"]) == len(found["flow"]["0"]) == 19
    assert len(found["flow"]) >= 8


def test_a_residual_block_that_is_removed_leaves_its_shortcut(trial: Trial) -> None:
    found = measures.lesion(trial)
    network = trial.network
    x, labels = all_images(trial)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    block: Any = network.get_submodule("layer2.1")
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.zero_()
        expected = float((network(x).argmax(1) != labels).float().mean())
    network.load_state_dict(before)
    assert found["removed"]["layer2.1"] == pytest.approx(expected)
    assert set(found["removed"]) == {f"layer{s}.{b}" for s in (1, 2, 3) for b in (0, 1, 2)} - {"layer2.0", "layer3.0"}
    with torch.inference_mode():
        whole = float((network(x).argmax(1) != labels).float().mean())
    assert found["whole_error"] == pytest.approx(whole)
    assert measures.lesion(trial) == found  # the blocks are back in place


def test_autocorrelation_of_gradients(trial: Trial) -> None:
    found = measures.shattered_gradients(trial)
    network, ends = trial.initial_network().train(), all_images(trial)[0][[0, -1]]
    line = torch.stack([ends[0] + (ends[1] - ends[0]) * i / 255 for i in range(256)]).requires_grad_()
    network(line).sum().backward()
    assert line.grad is not None
    g = line.grad.flatten(1).double().numpy()
    g = g - g.mean(0)
    expected = [
        np.mean([np.dot(c[lag:], c[: 256 - lag]) / (256 - lag) / c.var() for c in g.T if c.var() > 0]) for lag in (1, 8)
    ]
    assert [found["lag1"], found["lag8"]] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert found["correlation"][0] == pytest.approx(1)


def test_a_run_keeps_its_snapshots(trial: Trial, tmp_path: Path) -> None:
    assert len(trial.snapshot_steps()) >= 8
