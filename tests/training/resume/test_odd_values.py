"""Logs and checkpoints with odd values or tensors are refused by `resume`, and stay as they are."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.core.errors import FileError
from resnets.training import checkpoint, runner
from resnets.training.checkpoint import DamagedError, TrainState
from resnets.training.checkpoint_writer import Writer
from tests.training.resume.conftest import content

FIRST_LINES = [
    '{"a": 1}',
    "[]",
    "7",
    '{"event": 7}',
    '{"event": "start"}',
    '{"event": "start", "steps": "20", "epochs": 2}',
    '{"event": "start", "steps": 20, "epochs": 2, "notes": [1]}',
    '{"event": "step", "step": 1, "epoch": "x", "loss": 1}',
    '{"event": "step", "step": 1e3, "epoch": 1, "loss": 1}',
    '{"event": "evaluation", "step": 1, "epoch": 1, "loss": 1, "accuracy": null}',
    '{"event": "step", "step": 1, "epoch": 1, "loss": ' + "9" * 400 + "}",
    "[" * 100_000,
]


@pytest.mark.parametrize("line", FIRST_LINES)
def test_a_log_with_odd_types_is_refused_before_the_data_is_read(
    line: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "reopen", lambda *_: pytest.fail("the data was read"))
    log = run / "log.jsonl"
    log.write_text(line + "\n" + log.read_text())
    started = time.monotonic()
    with pytest.raises(FileError, match=r"log\.jsonl is damaged: line 1"):
        resnets.resume(run)
    assert time.monotonic() - started < 5


def rewritten(run: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Every checkpoint changed, with hashes that fit."""
    import safetensors.torch

    folder = run / "checkpoint"
    for step in checkpoint.steps(folder):
        path = folder / f"step-{step:09}.json"
        tensors = safetensors.torch.load(path.with_suffix(".safetensors").read_bytes())
        described = json.loads(path.read_text())
        change(described["memory"], tensors)
        data = safetensors.torch.save(tensors)
        digest = hashlib.sha256(data)
        digest.update(json.dumps(described["memory"], sort_keys=True).encode())
        path.with_suffix(".safetensors").write_bytes(data)
        path.write_text(json.dumps(described | {"sha256": digest.hexdigest()}))


HOSTILE: list[dict[str, Any]] = [
    {"step": -1},
    {"step": 10**30},
    {"step": "10"},
    {"log_bytes": -5},
    {"log_bytes": 1e30},
    {"seconds": "long"},
    {"skipped": 10**25},
    {"skipped": -1},
    {"plateau": {"best": None, "bad": -1, "factor": 1.0}},
    {"plateau": []},
    {"best": "high"},
    {"recipe_sha256": None},
    {"more": 1},
]


@pytest.mark.parametrize("values", HOSTILE, ids=str)
def test_a_checkpoint_with_odd_values_is_refused_before_the_data_is_read(
    values: dict[str, Any], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "reopen", lambda *_: pytest.fail("the data was read"))
    rewritten(run, lambda memory, tensors: memory.update(values))
    before = content(run)
    with pytest.raises(FileError):
        resnets.resume(run)
    assert content(run) == before


@pytest.mark.parametrize("name", ["network.conv1.weight", "optimizer.conv1.weight.odd", "losses"])
def test_a_checkpoint_with_odd_tensors_is_refused_and_stays(name: str, run: Path) -> None:
    rewritten(run, lambda memory, tensors: tensors.update({name: torch.zeros(2, 3)}))
    before = content(run)
    if name.endswith("odd"):
        rewritten(run, lambda memory, tensors: tensors.update({"optimizer.none.momentum": torch.zeros(2, 3)}))
        before = content(run)
    with pytest.raises(FileError, match="does not fit the run"):
        resnets.resume(run)
    assert content(run) == before


def test_a_checkpoint_whose_tensors_are_no_safetensors_is_damaged_though_its_hash_fits(tmp_path: Path) -> None:
    memory = TrainState(step=5, log_bytes=0, seconds=0.0, recipe_sha256="")
    writer = Writer(tmp_path, keep=1)
    writer.write({"x": torch.zeros(1)}, memory)
    writer.wait()
    path = tmp_path / "step-000000005.json"
    path.with_suffix(".safetensors").write_bytes(b"odd")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": checkpoint.sha256_of(b"odd", memory)}))
    with pytest.raises(DamagedError, match="not a whole safetensors file"):
        checkpoint.read(tmp_path, 5)


def test_checkpoints_without_a_pending_evaluation_are_written_as_ever(tmp_path: Path) -> None:
    plain = TrainState(step=5, log_bytes=0, seconds=0, recipe_sha256="")
    assert "evaluation_pending" not in checkpoint.encode_state(plain)
    assert sorted(checkpoint.encode_state(plain)) == sorted(
        ["step", "log_bytes", "seconds", "recipe_sha256", "plateau", "best", "skipped"]
    )
