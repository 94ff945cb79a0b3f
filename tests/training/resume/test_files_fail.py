"""Where files are damaged, vanish or cannot be written, the run says so and its last checkpoint is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.core.errors import DataError, FileError
from resnets.training import checkpoint
from resnets.training.checkpoint_writer import Writer
from tests.training.cut import cut_after
from tests.training.runs import arguments, curve, sha_of


@pytest.mark.parametrize(
    "damage",
    ["truncated", "flipped", *(pytest.param(each, marks=pytest.mark.slow) for each in ("no tensors", "bad json"))],
)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(
    damage: str, data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 40)
    last, before = checkpoint.steps(out / "checkpoint")[:2]
    tensors = out / "checkpoint" / f"step-{last:09}.safetensors"
    content = tensors.read_bytes()
    if damage == "truncated":
        tensors.write_bytes(content[:-100])
    elif damage == "flipped":
        tensors.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    elif damage == "no tensors":
        tensors.unlink()
    else:
        tensors.with_suffix(".json").write_text('{"format": 1, "memory": ')
    received: list[dict[str, Any]] = []
    resnets.resume(out, subscribers=(received.append,))
    notes = " ".join(received[0]["notes"])
    assert f"Going on after step {before}" in notes
    assert "The checkpoint before it is used" in notes
    assert sha_of(out) == sha_of(whole)


def test_a_data_file_that_vanishes_ends_the_run_with_its_name_and_a_checkpoint(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(data, tmp_path / "data")
    victim = moved / "train" / "class1" / "007.png"
    content = victim.read_bytes()

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 20:
            victim.unlink(missing_ok=True)

    settings = [a for a in arguments(moved, tmp_path) if "=" in a]
    with pytest.raises(DataError, match=r"no image at .*007\.png.*resnets resume"):
        resnets.train(
            "paper/cifar", *settings, data=str(moved), out=tmp_path / "r", epochs=6, subscribers=(subscriber,)
        )
    victim.write_bytes(content)
    assert checkpoint.steps(tmp_path / "r" / "checkpoint")[0] >= 20
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert curve(tmp_path / "r") == curve(whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=False)


def test_a_disk_that_fills_during_a_save_ends_the_run_with_the_last_checkpoint_whole(
    data: Path, whole: Path, small_disk: Path
) -> None:
    out = small_disk / "r"
    filler = small_disk / "filler"

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 20 and not filler.exists():
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(1024))

    settings = [a for a in arguments(data, out) if "=" in a]
    with pytest.raises(FileError, match=r"no space left on device.*resnets resume"):
        resnets.train(
            "paper/cifar", *settings, data=str(data), out=out, epochs=6, checkpoint_steps=5, subscribers=(subscriber,)
        )
    assert not list(out.rglob("*.part"))
    filler.unlink()
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_folder_is_named(data: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 20)
    for path in [*tmp_path.rglob("*"), tmp_path / "r"]:
        path.chmod(0o555)
    with pytest.raises(FileError, match="permission denied"):
        resnets.resume(tmp_path / "r")


def test_a_read_only_disk_is_named_and_nothing_on_it_is_lost(data: Path, whole: Path, small_disk: Path) -> None:
    out = small_disk / "r"
    cut_after(data, out, 20)
    mount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    with pytest.raises(FileError, match="read-only file system"):
        resnets.resume(out)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)


def test_after_a_damaged_checkpoint_the_new_ones_are_kept(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 40)
    last = checkpoint.steps(out / "checkpoint")[0]
    (out / "checkpoint" / f"step-{last:09}.safetensors").write_bytes(b"damaged")
    writer = Writer(out / "checkpoint", keep=1, damaged=[last])
    state = checkpoint.TrainState(step=last - 1, log_bytes=0, seconds=0, recipe_sha256="")
    writer.write({"x": torch.zeros(1)}, state)
    writer.wait()
    assert checkpoint.steps(out / "checkpoint") == [last - 1]
