"""Short uses of tools that are tried by `scripts/tools` alone, which installs them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from tests.tools.small import SMALL, SPECS, images, trained

pytest.importorskip("torch_pruning", reason="scripts/tools installs torch-pruning, opacus, peft and others")
EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
LABELS = torch.tensor([0, 3])


def error_of(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@EACH
def test_torch_pruning_halves_channels(spec: Spec) -> None:
    import torch_pruning

    network = trained(spec)
    before = counts.parameters(spec)
    importance = torch_pruning.importance.MagnitudeImportance()
    pruner = torch_pruning.pruner.MagnitudePruner(
        network, images(), importance, pruning_ratio=0.5, ignored_layers=[network.fc]
    )
    pruner.step()
    assert network.get_submodule("layer1")[0].conv1.out_channels == 4  # type: ignore[index]
    assert sum(p.numel() for p in network.parameters()) < 0.6 * before
    network.train()(images()).square().mean().backward()


def test_opacus_has_gradients_of_each_sample() -> None:
    from opacus import PrivacyEngine
    from opacus.validators import ModuleValidator

    assert ModuleValidator.validate(trained())  # batch norm mixes samples
    network = trained(replace(SMALL, norm="group")).train()
    assert not ModuleValidator.validate(network)
    data = DataLoader(TensorDataset(images(8), torch.arange(8) % 5), batch_size=4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    private, optimizer, _ = PrivacyEngine().make_private(
        module=network, optimizer=optimizer, data_loader=data, noise_multiplier=1.0, max_grad_norm=1.0
    )
    F.cross_entropy(private(images()), LABELS).backward()
    of_samples = {name: p.grad_sample.mean(0) for name, p in private._module.named_parameters()}
    for name, parameter in private._module.named_parameters():
        torch.testing.assert_close(of_samples[name], parameter.grad, rtol=1e-3, atol=1e-5)
    optimizer.step()


def test_peft_adapts_convolutions(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    network = trained()
    expected = network(images())
    settings = LoraConfig(target_modules=["conv1", "conv2"], modules_to_save=["fc"], r=2)
    adapted = get_peft_model(network, settings).eval()
    torch.testing.assert_close(adapted(images()), expected)  # adapters begin at zero
    adapted(images()).square().mean().backward()
    learned = {name.split(".")[-3] for name, p in adapted.named_parameters() if p.grad is not None and "lora" in name}
    assert learned == {"lora_A", "lora_B"}
    adapted.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(trained(), tmp_path).eval()
    torch.testing.assert_close(again(images()), expected)
    assert torch.equal(again.merge_and_unload()(images()), adapted.merge_and_unload()(images()))


def test_metric_learning_and_self_supervision_take_embeddings() -> None:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from pytorch_metric_learning import losses

    network = trained().train()
    losses.TripletMarginLoss()(network(images(6)), torch.tensor([0, 0, 1, 1, 2, 2])).backward()
    assert network.get_parameter("conv1.weight").grad is not None
    backbone = nn.Sequential(*list(trained().train().children())[:-1], nn.Flatten())
    head = SimCLRProjectionHead(8, 8, 4)
    NTXentLoss()(head(backbone(images())), head(backbone(images().flip(-1)))).backward()
    assert all(p.grad is not None for p in backbone.parameters())


def test_skorch_searches_settings() -> None:
    from sklearn.model_selection import GridSearchCV
    from skorch import NeuralNetClassifier

    classifier = NeuralNetClassifier(
        ResNet, module__spec=replace(SMALL, classes=2), criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0,
        train_split=None,
    )  # fmt: skip
    search = GridSearchCV(classifier, {"lr": [0.1, 0.01]}, cv=2, scoring="accuracy", error_score="raise")
    search.fit(images(8).numpy(), np.arange(8) % 2)
    assert search.predict(images().numpy()).shape == (2,)


@pytest.mark.parametrize("name", ["torchattacks", "foolbox"])
def test_attacks_stay_within_their_bound_and_raise_the_loss(name: str) -> None:
    library = importlib.import_module(name)
    network, x = trained(), images().sigmoid()
    labels = network(x).argmax(1)
    if name == "torchattacks":
        found = library.PGD(network, eps=0.03, steps=4, random_start=False)(x, labels)
    else:
        model = library.PyTorchModel(network, bounds=(0, 1))
        attack = library.attacks.LinfPGD(steps=4)
        (found,), _, _ = attack(model, x, labels, epsilons=[0.03])
    assert 0 < (found - x).abs().max() <= 0.03 + 1e-6
    assert F.cross_entropy(network(found), labels) > F.cross_entropy(network(x), labels)


def test_ignite_takes_the_step_of_torch() -> None:
    from ignite.engine import create_supervised_trainer

    networks = [trained().train() for _ in range(2)]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in networks]
    F.cross_entropy(networks[0](images()), LABELS).backward()
    optimizers[0].step()
    create_supervised_trainer(networks[1], optimizers[1], nn.CrossEntropyLoss()).run([(images(), LABELS)], max_epochs=1)
    assert all(map(torch.equal, networks[0].state_dict().values(), networks[1].state_dict().values()))


@EACH
def test_ptflops_counts_our_multiply_adds(spec: Spec) -> None:
    from ptflops import get_model_complexity_info

    found, parameters = get_model_complexity_info(
        trained(spec), (3, 32, 32), as_strings=False, print_per_layer_stat=False, verbose=False, backend="aten"
    )
    assert parameters == counts.parameters(spec)
    assert found == pytest.approx(counts.multiply_adds(spec, 32), rel=0.02)  # it counts additions and gates, too


def test_torchview_draws_the_blocks() -> None:
    from torchview import draw_graph

    source = draw_graph(trained(), input_data=images(), depth=4, expand_nested=True).visual_graph.source
    assert source.count("Conv2d") >= sum(isinstance(module, nn.Conv2d) for module in trained().modules())


def test_backpack_has_gradients_of_each_sample_and_curvature() -> None:
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad, DiagGGNExact

    network = extend(trained())
    loss = extend(nn.CrossEntropyLoss())(network(images()), LABELS)
    with backpack(BatchGrad()):
        loss.backward()
    for parameter in network.parameters():
        torch.testing.assert_close(parameter.grad_batch.sum(0), parameter.grad, rtol=1e-4, atol=1e-6)
    converted = extend(trained(), use_converter=True)
    loss = extend(nn.CrossEntropyLoss())(converted(images()), LABELS)
    with backpack(DiagGGNExact()):
        loss.backward()
    assert all((p.diag_ggn_exact >= 0).all() for p in converted.parameters())


def test_kornia_augments_within_the_network() -> None:
    from kornia.augmentation import RandomHorizontalFlip

    network = trained()
    flipped = nn.Sequential(RandomHorizontalFlip(p=1.0), network)
    torch.testing.assert_close(flipped(images()), network(images().flip(-1)))


def test_quanto_quantizes_convolutions() -> None:
    from optimum.quanto import QConv2d, freeze, qint8, quantize

    network = trained(CATALOG["resnet18"])
    with torch.inference_mode():
        expected = network(images())
        quantize(network, weights=qint8)
        freeze(network)
        assert isinstance(network.get_submodule("conv1"), QConv2d)
        assert 0 < error_of(network(images()), expected) < 0.1
