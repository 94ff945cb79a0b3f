"""Checks that neither a training step nor making a batch waits for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from resnets.recipes.catalog import find
from tests.gpu.inputs import MUON, RICH, Figures, digits_recipe, is_cuda, training_of, write_images


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
