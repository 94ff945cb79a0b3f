"""The fully convolutional network: torchvision's in values and keys, at any size, and random only by its keys."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import resnets
from resnets.core.errors import UsageError
from resnets.models.memory import Segments
from resnets.models.spec import Spec
from resnets.models.surgery import fold_norms
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.segmentation.network import FCN, build

SMALL: dict[str, Any] = {"depths": (2, 1), "widths": (8, 16), "stem_width": 8, "classes": 5}


def small(**choices: Any) -> FCN:
    network = resnets.create("fcn_resnet18", **{**SMALL, "auxiliary": True, **choices})
    assert isinstance(network, FCN)
    return network


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def theirs(name: str, auxiliary: bool) -> nn.Module:
    """torchvision's network with running statistics that are nowhere trivial."""
    torch.manual_seed(0)
    network: nn.Module = getattr(torchvision.models.segmentation, name)(
        weights=None, weights_backbone=None, aux_loss=auxiliary
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("name", ["fcn_resnet50", "fcn_resnet101"])
def test_logits_are_torchvisions_with_its_weights(name: str, auxiliary: bool) -> None:
    peer = theirs(name, auxiliary)
    network = resnets.create(name, auxiliary=auxiliary)
    assert isinstance(network, FCN)
    assert list(network.state_dict()) == list(peer.state_dict())
    network.load_state_dict(peer.state_dict())
    network.eval()
    for size in ((33, 49), (40, 24)):
        with torch.inference_mode():
            x = images(1, 3, *size)
            expected, found = peer(x), network.all_logits(x)
            assert found.keys() == expected.keys() == ({"out", "aux"} if auxiliary else {"out"})
            for key, value in expected.items():
                assert found[key].shape == (1, 21, *size)
                assert (found[key] - value).abs().max() <= 1e-5 * value.abs().max()
            assert torch.equal(network(x), found["out"])
            assert list(network.features(x)) == ["C1", "C2", "C3", "C4", "C5"]


def test_gradients_are_torchvisions() -> None:
    peer = theirs("fcn_resnet50", auxiliary=True).double()
    network = resnets.create("fcn_resnet50", auxiliary=True)
    assert isinstance(network, FCN)
    network.load_state_dict(peer.state_dict())
    network.double().eval()
    x, masks = images(2, 3, 24, 40).double(), torch.randint(21, (2, 24, 40))
    for logits in (peer(x), network.all_logits(x)):
        (F.cross_entropy(logits["out"], masks) + 0.5 * F.cross_entropy(logits["aux"], masks)).backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in peer.named_parameters()}
    for name, parameter in network.named_parameters():
        expected = gradients[name]
        assert expected is not None
        assert parameter.grad is not None
        assert (parameter.grad - expected).abs().max() <= 1e-9 * expected.abs().max(), name


@pytest.mark.parametrize("size", [(1, 1), (7, 8), (32, 33), (31, 64)])
@pytest.mark.parametrize("training", [True, False])
def test_logits_have_the_size_of_the_input(size: tuple[int, int], training: bool) -> None:
    network = small(norm="group", drop_path=0.1).train(training)
    assert network(images(2, 3, *size)).shape == (2, 5, *size)
    logits = network.all_logits(images(2, 3, *size))
    assert list(logits) == ["out", "aux"]
    assert all(each.shape == (2, 5, *size) for each in logits.values())


def test_dropout_is_drawn_from_the_samples_keys_alone() -> None:
    network = small(norm="frozen").train()
    x, keys = images(3, 3, 16, 24), torch.tensor([5, 7, 9])

    def drawn(rows: slice) -> dict[str, Tensor]:
        set_rng_keys(network, keys[rows])
        return network.all_logits(x[rows])

    torch.manual_seed(0)
    whole = drawn(slice(0, 3))
    state = torch.get_rng_state()
    parts = [drawn(slice(0, 1)), drawn(slice(1, 3))]
    assert torch.equal(torch.get_rng_state(), state)
    for head in ("out", "aux"):
        torch.testing.assert_close(torch.cat([part[head] for part in parts]), whole[head])
    set_rng_keys(network, keys + 1)
    assert not torch.allclose(network(x), whole["out"], atol=1e-3)
    set_rng_keys(network, torch.arange(64))
    dropped = (network.classifier[3](torch.ones(64, 4, 16, 16)) == 0).float().mean()
    assert dropped == pytest.approx(0.1, abs=0.02)
    assert torch.equal(network.eval()(x), network(x))


def test_recomputed_blocks_give_the_same_gradients() -> None:
    x, masks, gradients = images(2, 3, 16, 24), torch.randint(5, (2, 16, 24)), []
    choices: tuple[Segments, ...] = ({}, {"layer1": (2,), "layer2": (1,)})
    for segments in choices:
        network = small(drop_path=0.2, dropout=0.1)
        network.recomputed = segments
        assert network.recomputed == network.backbone.recomputed == segments
        set_rng_keys(network, torch.tensor([1, 2]))
        F.cross_entropy(network(x), masks).backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_new_networks_are_unsure_of_all_classes_alike() -> None:
    network, masks = small().requires_grad_(False), torch.randint(5, (4, 32, 32))
    for logits in network.all_logits(images(4, 3, 32, 32)).values():
        assert float(F.cross_entropy(logits, masks)) == pytest.approx(math.log(5), rel=0.15)


def test_folding_gives_the_same_logits() -> None:
    network = small(preactivation=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1:
                value.uniform_(0.5 if name.endswith("var") else -1.0, 1.5, generator=generator)
    folded, x = fold_norms(network.eval()), images(2, 3, 17, 30)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-4)


def test_a_spec_of_a_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a model with FCNHead, and this one has LinearHead"):
        build(Spec())


def test_fields_of_the_spec_and_of_its_head_are_set_by_name() -> None:
    network = small(output_stride=4, norm="group", channels=1)
    assert network.spec.stage_strides["C3"] == 4
    assert isinstance(network.classifier[1], nn.GroupNorm)
    with pytest.raises(UsageError, match="No field of the spec is called 'auxilary': did you mean auxiliary"):
        small(auxilary=True)
    with pytest.raises(UsageError, match=r"No field of the spec is called 'auxiliary'"):
        resnets.create("resnet18", auxiliary=True)
    with pytest.raises(UsageError, match="norm takes 'batch' or 'frozen'"):
        resnets.create("resnet18", norm="instance")
