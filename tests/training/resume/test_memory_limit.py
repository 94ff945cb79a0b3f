"""Out of memory, a run says what fits; with less of it, it goes on to the same weights."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import resnets
from resnets.core.errors import TrainingError, UsageError
from resnets.models.resnet import ResNet
from resnets.recipes.catalog import find
from resnets.training import memory
from tests.training.cut import cut_after
from tests.training.runs import SETTINGS, arguments, make_images, sha_of

WIDE = [
    *(setting for setting in SETTINGS if not setting.startswith(("precision", "ema"))),
    *("model.widths=[64,128]", "model.stem_width=64", "preprocessing.resize=64", "preprocessing.crop=64"),
    *("batch=96", "bn_batch=96", "precision=fp32"),
]


def test_out_of_memory_says_which_ghost_batch_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = ResNet.forward

    def starved(network: ResNet, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 24:
            torch.empty(2**55)
        return forward(network, images)

    monkeypatch.setattr(ResNet, "forward", starved)
    recipe = find("paper/cifar").with_overrides(WIDE)
    with pytest.raises(TrainingError, match="Out of memory with 96 samples at a time on cpu") as caught:
        resnets.train(recipe, data=str(make_images(tmp_path / "data")), epochs=3, out=str(tmp_path / "r"), workers=0)
    assert "resnets resume RUN --memory-limit" in str(caught.value)
    assert "train anew with bn_batch=24, which was tried and fits" in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_really_out_of_memory_a_ghost_batch_is_found(tmp_path: Path) -> None:
    data = make_images(tmp_path / "data")
    program = f"""
import resource, sys, resnets
from resnets.recipes.catalog import find

def limit(event):
    if event["event"] == "start":
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 500 * 2**20,) * 2)

try:
    recipe = find("paper/cifar").with_overrides({WIDE!r})
    resnets.train(recipe, data={str(data)!r}, epochs=3, out=sys.argv[1], workers=0, subscribers=(limit,))
except resnets.TrainingError as error:
    print(error)
"""
    for attempt in range(3):  # one time in ten, native code crashes where it finds no room
        argv = [sys.executable, "-c", program, str(tmp_path / str(attempt))]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=200)
        if done.returncode != -signal.SIGSEGV:
            break
    assert "Out of memory with 96 samples at a time on cpu." in done.stdout, done.stderr
    fitting = re.search(r"train anew with bn_batch=(\d+), which was tried and fits", done.stdout)
    assert fitting, done.stdout
    assert 96 % int(fitting[1]) == 0
    assert int(fitting[1]) < 96


def test_a_run_goes_on_in_less_memory_to_the_same_weights(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 20)
    with pytest.raises(UsageError, match="at least"):
        resnets.resume(out, memory_limit="50MiB")
    resnets.resume(out, memory_limit="20GiB")
    assert sha_of(out) == sha_of(whole)


def test_a_captured_run_goes_on_elsewhere_and_in_less_memory(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 20)
    plan = json.loads((out / "recipe.json").read_text())
    plan["recipe"]["cuda_graph"] = True  # as a run on a GPU has it
    (out / "recipe.json").write_text(json.dumps(plan))
    resnets.resume(out, memory_limit="20GiB")
    assert sha_of(out) == sha_of(whole)


def test_ghost_batches_shrink_where_the_limit_asks_for_it_and_the_run_says_so(data: Path, tmp_path: Path) -> None:
    settings = [a for a in arguments(data, tmp_path) if "=" in a]
    recipe = find("paper/cifar").with_overrides([*settings, "preprocessing.resize=96", "preprocessing.crop=96"])
    assert memory.bn_batch_within_limit(recipe, "fp32", 96, 2**30) == 96
    assert memory.bn_batch_within_limit(recipe, "fp32", 96, 30 * 2**20) < 96
    with pytest.raises(UsageError, match="memory_limit=1MiB cannot be kept"):
        memory.bn_batch_within_limit(replace(recipe, memory_limit="1MiB"), "fp32", 96, 2**20)
