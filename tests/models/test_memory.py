"""The memory of a training step: predicted, kept within a limit, measured from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.cli import main
from resnets.core.config import encode
from resnets.core.errors import UsageError
from resnets.core.units import parse_bytes
from resnets.models import memory
from resnets.models.catalog import find
from resnets.models.initialize import create
from resnets.models.memory import BytesPerElement, fit, predict
from resnets.nn.shapes import Activation

LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process in /proc")


def measured(model: str, *more: str) -> tuple[dict[str, Any], int]:
    """What `resnets benchmark` says of one step, and the peak of its process as the system saw it."""
    program = f"""
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "resnets", "benchmark", {model!r}, "--train", "--steps", "1", "--json",
                       *{more!r}], capture_output=True, text=True)
print((done.stdout or done.stderr).strip())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    answer, peak = done.stdout.strip().splitlines()
    return json.loads(answer), int(peak)


@LINUX
def test_a_step_keeps_within_its_limit_as_predicted() -> None:
    found, peak = measured("cifar_resnet110", "--batch", "64", "--memory-limit", "960MiB", "--precision", "fp32")
    assert found["training"]["recomputed"]
    assert peak < 960 * 2**20 * 1.02
    assert found["predicted_peak_memory_bytes"] == pytest.approx(peak, rel=0.1)
    assert found["peak_memory_bytes"] == pytest.approx(peak, rel=0.02)


@LINUX
@pytest.mark.slow
def test_a_step_with_dropout_keeps_within_its_limit_too(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(encode(replace(find("cifar_resnet110"), dropout=0.3))))
    found, peak = measured(str(spec), "--batch", "64", "--memory-limit", "960MiB", "--precision", "fp32")
    assert peak < 960 * 2**20 * 1.02
    assert found["predicted_peak_memory_bytes"] == pytest.approx(peak, rel=0.1)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("model", ["cifar_resnet1202", "cifar_preact1001"])
def test_a_thousand_layers_at_batch_128_within_two_gibibytes(model: str) -> None:
    found, peak = measured(model, "--batch", "128", "--memory-limit", "2GiB")
    assert peak <= 2 * 2**30
    assert found["predicted_peak_memory_bytes"] == pytest.approx(peak, rel=0.1)


def test_less_memory_means_more_recomputed_blocks_and_a_limit_is_never_passed() -> None:
    spec, recomputed = find("cifar_resnet1202"), []
    for limit in (20_000, 4000, 2000, 1000):
        segments = fit(spec, 32, 128, limit * 2**20, numbers=BytesPerElement(activation=2))
        assert predict(spec, 32, 128, numbers=BytesPerElement(activation=2), segments=segments).peak <= limit * 2**20
        assert all(sum(lengths) <= 200 for lengths in segments.values())
        recomputed.append(sum(map(sum, segments.values())))
    assert recomputed[0] == 0
    assert recomputed == sorted(recomputed)
    with pytest.raises(UsageError, match="at least"):
        fit(spec, 32, 128, 200 * 2**20)


def test_describe_shows_it_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "cifar_resnet1202", "--batch", "128", "--train"]) == 0
    shown = capsys.readouterr().out
    assert "kept" in shown
    assert "0 blocks" in shown
    found = resnets.describe("cifar_resnet1202", batch=128, train=True)
    assert found.memory is not None
    assert 11e9 < found.memory.peak < 13e9  # the usual open code takes about 13 GB
    for argv in (["--batch", "4"], ["--train"], ["--memory-limit", "1GiB"]):
        assert main(["describe", "resnet18", *argv]) == 2


@pytest.mark.parametrize(
    ("text", "count"), [("2GiB", 2**31), ("500 MB", 5 * 10**8), ("1.5g", 1_500_000_000), ("64kib", 65536), ("7", 7)]
)
def test_amounts_as_people_write_them(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "0", "-1GiB", "2 gallons", "1e9"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="2GiB"):
        parse_bytes(text)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    ("name", "size", "most"),
    [
        ("cifar_resnet20", 32, 1.1),
        ("cifar_preact164", 16, 1.1),
        ("resnet50d", 64, 1.1),
        ("cifar_fast", 32, 1.5),
        ("wrn40_4", 16, 1.1),
    ],
)
def test_what_a_backward_pass_waits_for_is_what_autograd_keeps(
    name: str, size: int, most: float, dropout: float, activation: Activation
) -> None:
    spec = replace(find(name), activation=activation, dropout=dropout)
    network, images = create(spec), torch.randn(2, 3, size, size)
    others = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers(), images)}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in others:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = network(images)
    assert logits.requires_grad
    found = sum(storage.nbytes() for storage in kept.values())
    predicted = memory._stem(spec, size) + sum(block.saved for block in memory._blocks(spec, size))
    assert 0.98 <= predicted * len(images) * 4 / found <= most
