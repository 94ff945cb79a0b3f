"""What must hold on an accelerator as on the CPU, without pytest: `benchmarks/gpu.py` and the tests call these.

Each check takes a device and an empty folder, returns figures worth recording, and raises AssertionError where it
fails. On the CPU, which is then compared with itself, they show that the checks run. Only the dependencies of resnets
may be imported here.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import resnets
from resnets.data.loader import Batches
from resnets.models.initialize import create
from resnets.recipes.catalog import find
from resnets.tasks.classification.task import Classification
from resnets.training import build, environment, prepare
from resnets.training.recipe import Recipe
from resnets.training.step import Training

Figures = dict[str, Any]

NETS = (
    "resnet18", "resnet50", "resnet50_v1", "resnet34_a", "plain18", "seresnet50", "resnet50d", "resnetv2_50",
    "resnext50_32x4d", "cifar_resnet20", "cifar_preact110", "cifar_fast",
)  # fmt: skip
# Random depth, an average of the weights, ghost batches and clipping, all that a step can do.
RICH = ("model.drop_path=0.5", "ema=0.9", "bn_batch=32", "clip_norm=1.0", "precision=fp32")
MUON = ("optimizer=Muon", "precision=fp32")


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


def away(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a fraction of the largest expected value."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def write_images(folder: Path, train: int = 24, val: int = 8) -> Path:
    """Writes two classes of JPEG files of 48 x 40 px, one darker than the other, and returns `folder`."""
    g = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for number in range(count):
            path = folder / part / f"class{number % 2}" / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = g.integers(0, 256 // (1 + number % 2), (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(path, quality=90)
    return folder


def training_of(recipe: Recipe, device: str) -> tuple[Training, Batches]:
    """The training of `recipe` before its first step, and its batches."""
    recipe, data = prepare.resolve(recipe)
    network = create(recipe.model, seed=recipe.seed, how=recipe.initialization)
    task = Classification(label_smoothing=recipe.label_smoothing)
    training = Training(recipe, environment.choose(device, recipe.precision), task, network, len(data.train))
    return training, build.batches_for(recipe, data, device=training.device)


def digits_recipe(*settings: str) -> Recipe:
    return find("digits").with_overrides(("steps=40", *settings))


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
            assert expected.keys() == here.keys(), name
            for key, value in expected.items():
                if not value.is_floating_point():
                    assert torch.equal(here[key].cpu(), value), (name, key)
            difference = (here["images"].cpu() - expected["images"]).abs()
            largest, mean = max(largest, float(difference.max())), max(mean, float(difference.mean()))
        found[name] = {"largest": largest, "mean": mean}
        assert mean < 1e-3, (name, mean, largest)
    return found


def cuda_graph_steps(device: str, folder: Path) -> Figures:
    """Steps in a CUDA graph equal plain ones, and there, too, a non-finite gradient changes nothing."""
    found: Figures = {}
    for name, settings in {"sgd": ("precision=fp32",), "muon": MUON, "rich": RICH}.items():
        switch = f"cuda_graph={'true' if is_cuda(device) else 'false'}"
        (plain, made), (graphed, _) = (
            training_of(digits_recipe(*settings, each), device) for each in ("cuda_graph=false", switch)
        )
        differences = []
        for batch in made.between(0, 10):
            one, other = float(plain.step(batch)), float(graphed.step(batch))
            differences.append(abs(one - other) / one)
        found[name] = max(differences)
        assert found[name] < 1e-3, (name, differences)
        before = {key: value.clone() for key, value in graphed.state().items()}
        batch = made.make(10)
        graphed.step(batch | {"images": batch["images"] * float("nan")})
        assert int(graphed.first_bad) == 10, name
        moved = [key for key, value in graphed.state().items() if not torch.equal(value, before[key])]
        assert all(key.startswith("average.") or key.endswith("num_batches_tracked") for key in moved), (name, moved)
        if is_cuda(device):
            graph: Any = graphed._graph_step
            assert graph is not None, name
            assert graph.replay is not None, name
    return found


@contextlib.contextmanager
def no_waiting(device: str) -> Iterator[None]:
    """Context in which an operation that waits for the CUDA device raises RuntimeError."""
    if not is_cuda(device):
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def steps_do_not_wait(device: str, folder: Path) -> Figures:
    """No training step waits for the device, by torch's sync debug mode."""
    kinds = [("precision=fp32",), MUON, RICH, *([("precision=fp32", "cuda_graph=true")] if is_cuda(device) else [])]
    for settings in kinds:
        training, made = training_of(digits_recipe(*settings), device)
        ready = [made.make(step) for step in range(8)]
        for batch in ready[:5]:  # a CUDA graph is captured at the fourth
            training.step(batch)
        with no_waiting(device):
            for batch in ready[5:]:
                training.step(batch)
    return {"kinds": len(kinds)}


def batches_do_not_wait(device: str, folder: Path) -> Figures:
    """Making a batch does not wait for the device: with all images on it, and with images that are decoded."""
    data = str(write_images(folder / "images"))
    small = (f"data={data}", "preprocessing.resize=40", "preprocessing.crop=32", "batch=8", "steps=8")
    augmentations = 'augmentations={"crop": {"kind": "RandomResizedCrop"}, "transforms": [{"kind": "Flip"}, '
    augmentations += '{"kind": "ColorJitter"}, {"kind": "PCAColor"}, {"kind": "Cutout"}], '
    augmentations += '"mix": [{"kind": "Mixup"}, {"kind": "CutMix"}]}'
    for recipe in (
        digits_recipe(),
        find("fast/cifar10").with_overrides(small),
        find("paper/cifar").with_overrides((*small, augmentations)),
    ):
        training, made = training_of(recipe, device)
        for step in range(4):
            training.step(made.make(step))
        with no_waiting(device):
            for step in range(4, 8):
                training.step(made.make(step))
    return {"kinds": 3}


def trains_evaluates_predicts(device: str, folder: Path) -> Figures:
    """A short run learns the digits; its scores and predictions equal the CPU's."""
    from sklearn.datasets import load_digits

    run = resnets.train("digits", "epochs=6", "evaluate_every=6", out=folder / "run", device=device)
    scores = [resnets.evaluate(run.folder, device=place) for place in ("cpu", device)]
    images = [Image.fromarray((each * 15.9).astype(np.uint8)) for each in load_digits().images[:24]]
    answers = [[r[0][0] for r in resnets.predict(run.folder, *images, device=place)] for place in ("cpu", device)]
    same = sum(one == other for one, other in zip(*answers, strict=True))
    accuracies = [each.accuracy for each in scores]
    assert run.metrics["accuracy"] > 0.9, run.metrics
    assert abs(accuracies[1] - run.metrics["accuracy"]) < 0.006, (accuracies, run.metrics)
    assert abs(accuracies[1] - accuracies[0]) < 0.006, accuracies
    assert same >= len(images) - 1, answers
    return {"accuracy": run.metrics["accuracy"], "on_the_cpu": accuracies[0], "same_answers": same / len(images)}


def trains_on_files(device: str, folder: Path) -> Figures:
    """A run on JPEG files in bf16, decoded by threads, with mixes and an average of the weights."""
    data = write_images(folder / "images")
    augmentations = 'augmentations={"crop": {"kind": "RandomResizedCrop"}, "transforms": [{"kind": "Flip"}], '
    augmentations += '"mix": [{"kind": "Mixup"}]}'
    small = ("preprocessing.resize=40", "preprocessing.crop=32", "batch=8", "steps=8", "ema=0.9", "precision=bf16")
    run = resnets.train(
        "paper/cifar", *small, augmentations, data=str(data), out=folder / "run", device=device, workers=2
    )
    assert np.isfinite(run.metrics["loss"]), run.metrics
    return {"loss": run.metrics["loss"]}


_CUT_OFF = """
import os, sys, resnets
def subscriber(event):
    if event["event"] == "step" and event["step"] >= 44:
        os._exit(9)
out, device, *settings = sys.argv[1:]
resnets.train("digits", *settings, out=out, device=device, checkpoint_steps=10, subscribers=(subscriber,))
"""


def resumes_bit_for_bit(device: str, folder: Path) -> Figures:
    """A run that was interrupted and resumed has the weights of one that was not."""
    has_setting = any(each.name == "deterministic" for each in fields(Recipe))
    settings = ["steps=66", "evaluate_every=100", *(["deterministic=true"] if has_setting else [])]
    whole = resnets.train("digits", *settings, out=folder / "whole", device=device)
    command = [sys.executable, "-c", _CUT_OFF, str(folder / "cut"), device, *settings]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 9, ended.stderr[-2000:]
    assert not (folder / "cut" / "model.safetensors").exists()
    resumed = resnets.resume(folder / "cut")
    hashes = [resnets.describe(each.folder).weights_sha256 for each in (whole, resumed)]
    assert hashes[0] == hashes[1], hashes
    return {"weights_sha256": hashes[0], "deterministic": has_setting}


def keeps_within_memory(device: str, folder: Path) -> Figures:
    """A step with memory_limit stays within it, and computes the same loss."""
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats()
    model, batch = ("cifar_resnet110", 256) if is_cuda(device) else ("cifar_resnet20", 8)
    plain = resnets.benchmark(model, train=True, batch=batch, steps=3, device=device)
    limit = round(0.6 * plain["peak_memory_bytes"] / 2**20) if is_cuda(device) else 2**15
    if is_cuda(device):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    limited = resnets.benchmark(model, train=True, batch=batch, steps=3, device=device, memory_limit=f"{limit}MiB")
    losses = [each["training"]["loss"] for each in (plain, limited)]
    assert abs(losses[0] - losses[1]) <= 0.02 * losses[0], losses
    if is_cuda(device):
        assert limited["peak_memory_bytes"] <= limit * 2**20, (limited["peak_memory_bytes"], limit)
        assert any(limited["training"]["recomputed"].values())
    return {
        "limit_mib": limit,
        "plain": {key: plain[key] for key in ("peak_memory_bytes", "predicted_peak_memory_bytes")},
        "limited": {key: limited[key] for key in ("peak_memory_bytes", "predicted_peak_memory_bytes")},
        "losses": losses,
    }


CHECKS: dict[str, Callable[[str, Path], Figures]] = {
    check.__name__: check
    for check in (
        trains_evaluates_predicts,
        logits_and_gradients,
        cuda_graph_steps,
        steps_do_not_wait,
        batches_do_not_wait,
        resumes_bit_for_bit,
        keeps_within_memory,
        batches,
        precisions,
        trains_on_files,
    )
}
