"""Checks that an accelerator computes what the CPU does: networks, batches and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import resnets
from resnets.recipes.catalog import find
from tests.gpu.inputs import MUON, RICH, Figures, digits_recipe, is_cuda, training_of, write_images

NETS = (
    "resnet18", "resnet50", "resnet50_v1", "resnet34_a", "plain18", "seresnet50", "resnet50d", "resnetv2_50",
    "resnext50_32x4d", "cifar_resnet20", "cifar_preact110", "cifar_fast",
)  # fmt: skip


def away(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a fraction of the largest expected value."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def logits_and_gradients(device: str, folder: Path) -> Figures:
    """Logits and gradients in training mode, in float64, where a difference is an error and not rounding."""
    found: Figures = {}
    for name in NETS if is_cuda(device) else NETS[-3:-2]:
        g = torch.Generator().manual_seed(0)
        size = 32 if name.startswith("cifar") else 64
        images = torch.randn(4, 3, size, size, generator=g, dtype=torch.float64)
        labels = torch.arange(4)
        results: list[list[Tensor]] = []
        for place in ("cpu", device):
            network = resnets.create(name, classes=10, seed=1).double().to(place)
            logits = network(images.to(place))
            torch.nn.functional.cross_entropy(logits, labels.to(place)).backward()  # type: ignore[no-untyped-call]
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            results.append([logits, *gradients, *(b for b in network.buffers() if b.is_floating_point())])
        expected, here = results
        assert len(expected) == len(here)
        logits_away = away(here[0], expected[0])
        largest = max(float(e.detach().abs().max()) for e in expected[1:])
        rest = max(
            float((a.detach().cpu() - b.detach().cpu()).abs().max()) for a, b in zip(here, expected, strict=True)
        )
        found[name] = {"logits": logits_away, "gradients_and_statistics": rest / largest}
        assert logits_away < 1e-7, (name, logits_away)
        assert rest / largest < 1e-6, (name, rest / largest)
    return found


def precisions(device: str, folder: Path) -> Figures:
    """float32 (with TF32, where it is on) and bf16 against the CPU's float32, in evaluation."""
    found: Figures = {}
    for name in ("resnet50", "cifar_resnet20"):
        g = torch.Generator().manual_seed(0)
        size = 32 if name.startswith("cifar") else 96
        images = torch.randn(8, 3, size, size, generator=g)
        network = resnets.create(name, seed=1).eval()
        with torch.inference_mode():
            expected = network(images)
            network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            placed = images.to(device).contiguous(memory_format=torch.channels_last)
            single = away(network(placed), expected)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                half = away(network(placed), expected)
        found[name] = {"fp32": single, "bf16": half}
        assert single < 0.01, (name, single)
        assert half < 0.1, (name, half)
    return found


def batches(device: str, folder: Path) -> Figures:
    """Training batches equal the CPU's, for the augmentations of every recipe."""
    data = str(write_images(folder / "images"))
    small = ("preprocessing.resize=40", "preprocessing.crop=32", "batch=8", "steps=4", "bn_batch=8")
    mix = 'augmentations={"crop": {"kind": "RandomResizedCrop"}, "transforms": [{"kind": "ColorJitter", "hue": 0.1}, '
    mix += '{"kind": "Cutout"}], "mix": [{"kind": "Mixup"}, {"kind": "CutMix"}]}'
    recipes = {
        "digits": digits_recipe(),
        "paper/cifar": find("paper/cifar").with_overrides((f"data={data}", *small)),
        "fast/cifar10": find("fast/cifar10").with_overrides((f"data={data}", *small)),
        "paper/imagenet": find("paper/imagenet").with_overrides(
            (f"data={data}", *small, 'augmentations.crop={"kind": "ScaledCrop", "min_size": 32, "max_size": 48}')
        ),
        "mixed": find("paper/cifar").with_overrides((f"data={data}", *small, mix)),
    }
    found: Figures = {}
    for name, recipe in recipes.items():
        pairs = [training_of(recipe, place)[1] for place in ("cpu", device)]
        largest, mean = 0.0, 0.0
        for step in range(3):
            expected, here = (each.make(step) for each in pairs)
            assert expected.dense.keys() == here.dense.keys(), name
            for key, value in expected.dense.items():
                if not value.is_floating_point():
                    assert torch.equal(here[key].cpu(), value), (name, key)
            difference = (here["inputs"].cpu() - expected["inputs"]).abs()
            largest, mean = max(largest, float(difference.max())), max(mean, float(difference.mean()))
        found[name] = {"largest": largest, "mean": mean}
        assert mean < 1e-3, (name, mean, largest)
    return found


def cuda_graph_steps(device: str, folder: Path) -> Figures:
    """Steps in a CUDA graph equal plain ones, and there, too, a non-finite gradient changes nothing.

    Both go on from the same state every second step: CUDA adds in a different order each time, and training amplifies
    that, so that the losses of two plain runs are 3e-5 apart after two updates.
    """
    found: Figures = {}
    for name, settings in {"sgd": ("precision=fp32",), "muon": MUON, "rich": RICH}.items():
        switch = f"cuda_graph={'true' if is_cuda(device) else 'false'}"
        (plain, made), (graphed, _) = (
            training_of(digits_recipe(*settings, each), device) for each in ("cuda_graph=false", switch)
        )
        differences = []
        for number, batch in enumerate(made.between(0, 10)):
            if number % 2 == 0:
                state = plain.state()
                for key, value in graphed.state().items():
                    value.copy_(state[key])
            one, other = float(plain.step(batch)), float(graphed.step(batch))
            differences.append(abs(one - other) / one)
        found[name] = max(differences)
        assert found[name] < 1e-3, (name, differences)
        before = {key: value.clone() for key, value in graphed.state().items()}
        batch = made.make(10)
        graphed.step(batch | {"inputs": batch["inputs"] * float("nan")})
        assert int(graphed.first_bad) == 10, name
        moved = [key for key, value in graphed.state().items() if not torch.equal(value, before[key])]
        assert all(key.startswith("average.") or key.endswith("num_batches_tracked") for key in moved), (name, moved)
        if is_cuda(device):
            graph: Any = graphed._graph_step
            assert graph is not None, name
            assert graph.replay is not None, name
    return found
