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
import torch.nn.functional as F

import resnets
from resnets.cli import main
from resnets.core.config import encode
from resnets.core.errors import UsageError
from resnets.core.units import parse_bytes
from resnets.models import memory
from resnets.models.catalog import find
from resnets.models.head_memory import head_activations
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead, PixelHead
from resnets.models.initialize import create
from resnets.models.memory import BytesPerElement, fit, predict
from resnets.nn.shapes import Activation, Norm
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.segmentation.network import SegmentationNet
from tests.models.saved import saved_tensors

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


@pytest.mark.slow
@LINUX
def test_a_step_keeps_within_its_limit_as_predicted() -> None:
    found, peak = measured("cifar_resnet110", "--batch", "64", "--memory-limit", "960MiB", "--precision", "fp32")
    assert found["training"]["recomputed"]
    assert peak < 960 * 2**20 * 1.1  # the convolutions of an Intel Xeon take 80 MiB more than those of an AMD EPYC
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


# Of each network its size in pixels, and how far beyond the truth a prediction may be.
KEPT = {
    "cifar_resnet20": (32, 1.1),
    "cifar_preact164": (16, 1.1),
    "resnet50d": (64, 1.1),
    "cifar_fast": (32, 1.5),
    "wrn40_4": (16, 1.1),
    "resnet26t": (64, 1.1),
    "resnetblur18": (64, 1.2),
    "resnetblur50": (64, 1.1),
    "resnetaa50d": (64, 1.1),
    "resnetrs50": (96, 1.1),
    "resnetv2_50d": (64, 1.1),
    "resnetv2_50x1_bit": (64, 1.1),
}
# Dropout, activation, and whether only a block of each kind is tried so in the fast suite.
WAYS = ((0.0, "relu", False), (0.3, "gelu", False), (0.3, "relu", True), (0.0, "gelu", True))
IN_ALL_WAYS = ("cifar_resnet20", "resnet50d", "cifar_fast", "wrn40_4")


@pytest.mark.parametrize(
    ("name", "dropout", "activation"),
    [
        pytest.param(name, dropout, activation, marks=[pytest.mark.slow] * (name not in IN_ALL_WAYS and rare))
        for name in KEPT
        for dropout, activation, rare in WAYS
    ],
)
def test_what_a_backward_pass_waits_for_is_what_autograd_keeps(
    name: str, dropout: float, activation: Activation
) -> None:
    size, most = KEPT[name]
    spec = replace(find(name), activation=activation, dropout=dropout)
    network, images = create(spec), torch.randn(2, 3, size, size)
    with saved_tensors([*network.parameters(), *network.buffers(), images]) as kept:
        logits = network(images)
    assert logits.requires_grad
    found = sum(storage.nbytes() for storage in kept.values())
    predicted = memory._stem(spec, size) + sum(block.saved for block in memory._blocks(spec, size))
    if spec.standardized:  # what convolutions keep in place of their weights
        found -= 4 * sum(p.numel() for p in network.parameters() if p.ndim == 4)
    assert 0.98 <= predicted * len(images) * 4 / found <= most


@pytest.mark.parametrize("norm", ["batch", pytest.param("frozen", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "head"),
    [
        *[
            (name, FCNHead(auxiliary=aux))
            for name in ("fcn_resnet18", "fcn_resnet50", "fcn_resnetv2_50")
            for aux in (False, True)
        ],
        ("fcn_resnet18", DeepLabHead()),
        ("fcn_resnetv2_50", DeepLabHead(auxiliary=True)),
        ("fpn_resnet18", FPNHead()),
        ("fcn_resnet18", FPNHead(dropout=0.0)),
        ("fpn_resnetv2_50", FPNHead()),
    ],
    ids=str,
)
def test_what_autograd_keeps_of_a_step_on_the_pixels_of_rectangles(name: str, norm: Norm, head: PixelHead) -> None:
    size, count = (65, 98), 2
    spec = replace(find(name), depths=(1, 1, 1, 1), head=head, norm=norm, classes=11)
    network = resnets.create(spec)
    assert isinstance(network, SegmentationNet)
    images, masks = torch.randn(count, 3, *size), torch.randint(11, (count, *size))
    set_rng_keys(network, torch.arange(count))
    with saved_tensors([*network.parameters(), *network.buffers(), images, masks]) as kept:
        logits = network.all_logits(images)
        losses = [F.cross_entropy(each, masks, reduction="none") for each in logits.values()]
    assert all(loss.requires_grad for loss in losses)
    found = sum(storage.nbytes() for storage in kept.values()) + sum(each.nbytes for each in logits.values())
    heads = head_activations(spec, size)
    assert heads is not None
    predicted = memory._stem(spec, size) + sum(block.saved for block in memory._blocks(spec, size))
    predicted += heads.saved + heads.pixels
    assert 0.98 <= predicted * count * 4 / found <= 1.1


@pytest.mark.slow
@LINUX
def test_a_step_of_segmentation_keeps_within_its_limit_as_predicted() -> None:
    program = """
import importlib, re, resnets, torch
from resnets.models import memory
from resnets.training.memory import allocation, in_use
torch.set_num_threads(1)
importlib.import_module("torch._dynamo")
network, device = resnets.create("fcn_resnet18", classes=12, auxiliary=True), torch.device("cpu")
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
images, masks, limit = torch.randn(4, 3, 180, 240), torch.randint(12, (4, 180, 240)), 330 * 2**20
with allocation("cpu", limited=True):
    program = in_use(device) - sum(t.nbytes for t in (*network.parameters(), images))
    network.recomputed = memory.fit(network.spec, (180, 240), 4, limit)
    for _ in range(2):
        optimizer.zero_grad()
        logits = network.all_logits(images).values()
        sum(torch.nn.functional.cross_entropy(each, masks) for each in logits).backward()
        optimizer.step()
expected = memory.predict(network.spec, (180, 240), 4, segments=network.recomputed, program=program)
peak = re.search(r"VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())
print(len(network.recomputed), program + limit, expected.peak, int(peak[1]) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    recomputed, limit, predicted, peak = map(int, done.stdout.split())
    assert recomputed
    assert peak < limit * 1.02
    assert predicted == pytest.approx(peak, rel=0.1)


def test_a_limit_is_kept_for_rectangles_and_squares_are_rectangles() -> None:
    for name in ("resnet18", "fcn_resnet18", "fcn_resnet50"):
        spec = find(name)
        assert predict(spec, (96, 96), 4) == predict(spec, 96, 4)
        assert predict(spec, (96, 160), 4).peak == predict(spec, (160, 96), 4).peak
        whole = predict(spec, (360, 480), 8).peak
        segments = fit(spec, (360, 480), 8, whole * 9 // 10)
        assert segments
        assert predict(spec, (360, 480), 8, segments=segments).peak <= whole * 9 // 10
    plain = predict(find("fcn_resnet50"), (360, 480), 8)
    auxiliary = predict(replace(find("fcn_resnet50"), head=FCNHead(auxiliary=True)), (360, 480), 8)
    assert auxiliary.kept - plain.kept >= 8 * 21 * 360 * 480 * 4 * 2
    spectrograms = replace(find("resnet18"), channels=1)
    assert predict(spectrograms, (101, 40), 2).images == 2 * 101 * 40 * 4


def test_describe_takes_rectangles() -> None:
    found = resnets.describe("fcn_resnet50", size="480x360", batch=2, train=True)
    assert found.size == (360, 480)
    assert found.input_shape == (3, 360, 480)
    assert found.layers[-1].name == "classifier.4"
    assert found.layers[-1].shape == (21, 45, 60)
    assert found.memory == predict(find("fcn_resnet50"), (360, 480), 2)
    assert resnets.describe("fcn_resnet50", size=(360, 480)).layers == found.layers
    square = resnets.describe("fcn_resnet50", size=(360, 360))
    assert square.size == 360
    assert square == resnets.describe("fcn_resnet50", size=360) == resnets.describe("fcn_resnet50", size="360")


def test_describe_shows_rectangles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "fcn_resnet18", "--size", "480x360"]) == 0
    assert "at 480x360 px" in capsys.readouterr().out
    assert main(["describe", "fcn_resnet18", "--size", "480x360", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["size"] == [360, 480]
    assert answer["input_shape"] == [3, 360, 480]
    assert main(["describe", "fcn_resnet18", "--size", "360", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 360
    for size, message in {
        "480x": "takes a whole number or WIDTHxHEIGHT",
        "4x4x4": "takes a whole number or WIDTHxHEIGHT",
        "480x0": "size must be from 1 to 16384, not 0",
        "99999x8": "size must be from 1 to 16384, not 99999",
    }.items():
        assert main(["describe", "fcn_resnet18", "--size", size]) == 2
        assert message in capsys.readouterr().err
