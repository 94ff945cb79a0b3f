"""A network is fed in one place, to the same bits as plain torch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import resnets
from resnets.models.initialize import create
from resnets.recipes.catalog import find
from resnets.tasks.forward import forward, lay_out, place

SOURCE = Path(resnets.__file__).parent
CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_forward_pass_is_that_of_plain_torch(precision: str) -> None:
    model = find("paper/cifar").model
    network = place(create(model, seed=1), CPU).train()
    by_hand = create(model, seed=1).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = by_hand(images.contiguous(memory_format=torch.channels_last))
    found = forward(network, images, precision=precision)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)
    assert all(map(torch.equal, network.buffers(), by_hand.buffers()))


def test_images_that_are_laid_out_are_not_copied() -> None:
    images = lay_out(torch.rand(2, 3, 4, 4))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert lay_out(images).data_ptr() == images.data_ptr()


def test_layout_and_precision_are_chosen_in_one_place() -> None:
    """But for runtimes, which choose their own, and the copy that a checkpoint or a model file holds."""
    allowed = {"tasks/forward.py", "core/devices.py", "artifacts/runtimes/folded.py",
               "training/checkpoint_writer.py"}  # fmt: skip
    writes = re.compile(r"memory_format=|torch\.autocast\(")
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if writes.search(path.read_text())}
    assert found <= allowed
