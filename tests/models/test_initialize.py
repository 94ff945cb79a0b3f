"""First weights: He's distributions, a function of seed and name alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import resnets
from resnets.core.errors import UsageError
from resnets.models.catalog import CATALOG
from resnets.models.initialization import Initialization
from resnets.models.initialize import create, whiten


@pytest.mark.parametrize("fan", ["fan_in", "fan_out"])
def test_convolutions_have_hes_variance(fan: Literal["fan_in", "fan_out"]) -> None:
    network = create(CATALOG["resnet50"], how=Initialization(fan=fan))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 20_000:
            area = module.kernel_size[0] * module.kernel_size[1]
            width = module.in_channels if fan == "fan_in" else module.out_channels
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / (width * area)), rel=0.03)
            assert abs(module.weight.mean().item()) < 0.02 * module.weight.std().item() + 1e-3


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    first, same, other = (create(CATALOG["cifar_resnet20"], seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    assert not torch.equal(first["layer1.0.conv1.weight"], first["layer1.0.conv2.weight"])


def test_a_change_elsewhere_in_the_network_changes_no_weight_of_the_rest() -> None:
    spec = CATALOG["cifar_resnet20"]
    first, wider = (create(replace(spec, classes=c)).state_dict() for c in (10, 100))
    assert torch.equal(first["layer3.2.conv2.weight"], wider["layer3.2.conv2.weight"])


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_preact110", "seresnet50"])
def test_with_zero_scales_each_block_starts_as_its_shortcut(name: str) -> None:
    spec = replace(CATALOG[name], depths=(2,) * len(CATALOG[name].depths))
    network = create(spec, how=Initialization(zero_init_last=True)).eval()
    block = network.get_submodule("layer2.1")
    x = torch.rand(2, spec.stage_channels["C3"], 4, 4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("name", ["plain18", "cifar_plain20"])
@pytest.mark.parametrize("preactivation", [False, True])
def test_zero_scales_are_refused_for_plain_nets_through_which_nothing_would_pass(
    name: str, preactivation: bool, tmp_path: Path
) -> None:
    spec = replace(CATALOG[name], preactivation=preactivation, channels=1, classes=10)
    with pytest.raises(UsageError, match=r"plain net .*Set initialization.zero_init_last=false"):
        create(spec, how=Initialization(zero_init_last=True))
    with pytest.raises(UsageError, match=r"plain net .*Set initialization.zero_init_last=false"):
        resnets.train("digits", "initialization.zero_init_last=true", model=spec, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    recipe = replace(resnets.list_recipes()["paper/cifar"], model=spec)
    assert not resnets.large_batch(recipe, 256).initialization.zero_init_last  # whose nets of residuals start so


def test_starts_that_standardised_weights_cannot_have_are_refused() -> None:
    bit = replace(CATALOG["resnetv2_50x1_bit"], depths=(1,), widths=(8,), stem_width=8)
    for how, message in {
        Initialization(zero_init_last=True): "variance 1 as soon as they change.*zero_init_last=false",
        Initialization(identity=True): "whose mean is 0.*identity=false",
    }.items():
        with pytest.raises(UsageError, match=message):
            create(bit, how=how)
    post = replace(bit, preactivation=False, stem_pool="max", depths=(2,))  # a norm's scale starts at 0
    block = create(post, how=Initialization(zero_init_last=True)).get_submodule("layer1.1")
    x = torch.rand(2, 32, 4, 4)
    torch.testing.assert_close(block(x), x)
    recipe = replace(resnets.list_recipes()["paper/cifar"], model=bit)
    assert not resnets.large_batch(recipe, 256).initialization.zero_init_last


def test_every_weight_and_buffer_is_set() -> None:
    specs = [CATALOG[name] for name in ("seresnet50", "resnet50d", "resnetrs50", "resnetblur18", "resnetv2_50x1_bit")]
    for spec in (*specs, replace(CATALOG["resnet18"], norm="group")):
        state = create(spec).state_dict()
        assert all(v.isfinite().all() and v.abs().max() < 1e3 for v in state.values())


def test_identity_starts_a_convolution_as_its_input_and_leaves_the_rest_random() -> None:
    plain, network = (create(CATALOG["resnet18"], how=Initialization(identity=identity)) for identity in (False, True))
    conv = network.get_submodule("layer2.0.conv1")  # 64 to 128
    assert isinstance(conv, nn.Conv2d)
    conv.stride = (1, 1)
    x = torch.randn(1, 64, 6, 6)
    torch.testing.assert_close(conv(x)[:, :64], x)
    assert torch.equal(conv.weight[64:], plain.get_parameter("layer2.0.conv1.weight")[64:])


def test_a_classifier_starts_with_the_deviation_asked_for() -> None:
    weight = create(CATALOG["resnet18"], how=Initialization(classifier_std=0.25)).fc.weight
    assert weight.std().item() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(("dimensions", "channels"), [(1, 2), (2, 3), (3, 1)])
def test_a_whitened_stem_answers_with_uncorrelated_numbers_of_variance_one(dimensions: int, channels: int) -> None:
    spec = replace(CATALOG["cifar_fast"], dimensions=dimensions, channels=channels)
    network = create(spec)
    g = torch.Generator().manual_seed(1)
    noise = torch.randn(64, channels, *[12] * dimensions, generator=g)
    images = noise + 2 * noise.roll(1, -1) + 0.5 * noise.roll(1, 1)  # neighbours and channels alike
    whiten(network, torch.split(images, 10))
    filters = network.get_parameter("conv1.0.weight")
    count = filters.shape[0] // 2
    answers = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[dimensions](images, filters).movedim(1, 0).flatten(1)
    torch.testing.assert_close(answers[:count], -answers[count:])
    moments = answers[:count] @ answers[:count].T / answers.shape[1]
    torch.testing.assert_close(moments, torch.eye(count), atol=0.02, rtol=0)
