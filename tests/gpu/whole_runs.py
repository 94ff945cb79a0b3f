"""Checks of whole runs on a device: they learn, resume bit for bit and keep within their memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import resnets
from resnets.training.recipe import Recipe
from tests.gpu.inputs import Figures, is_cuda, write_images


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
