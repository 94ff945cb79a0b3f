"""Ranks that differ are refused by name on every rank, and none waits for one that cannot begin."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import DataError, ResnetsError, TrainingError, UsageError
from resnets.data import scan as data_scan
from resnets.modalities.catalog import open_dataset
from resnets.recipes.catalog import find
from resnets.training import agreement, checkpoint, environment, memory, prepare, shared_scan
from resnets.training.distributed import Ranks
from resnets.training.shared_scan import require_same_files
from tests.training.runs import SETTINGS, arguments, curve, finish, sha_of

HERE = environment.choose("cpu", "fp32")


@dataclass
class Shared:
    """What ranks in threads of one process exchange."""

    world: int
    barrier: threading.Barrier = field(init=False)
    values: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.world, timeout=20)


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    shared: Any = None

    def gather(self, value: Any) -> list[Any]:
        self.shared.values[self.rank] = value
        self.shared.barrier.wait()
        everyone = [self.shared.values[rank] for rank in range(self.world)]
        self.shared.barrier.wait()
        return everyone

    def barrier(self) -> None:
        self.shared.barrier.wait()


def on_each(world: int, action: Callable[[Ranks], Any]) -> list[Any]:
    """What `action` returns or raises on each of `world` ranks."""
    shared = Shared(world)
    found: list[Any] = [None] * world

    def act(rank: int) -> None:
        try:
            found[rank] = action(ThreadRanks(rank, world, shared=shared))
        except (ResnetsError, threading.BrokenBarrierError) as error:
            found[rank] = error

    threads = [threading.Thread(target=act, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_what_all_ranks_have_in_common_is_let_through() -> None:
    facts = agreement.facts_of(find("paper/cifar"), HERE)
    assert on_each(3, lambda ranks: agreement.require_equal(ranks, facts)) == [None] * 3
    assert {"recipe.bn_batch", "torch", "torchvision", "resnets", "python", "numpy", "pillow", "precision"} <= set(
        facts
    )
    assert "recipe.optimizer.lr" in facts
    # Not compared: the threads of rank 0 count, and hardware may differ.
    other = replace(HERE, threads=HERE.threads + 3, hardware="another", cpu_capability="another")
    assert agreement.facts_of(find("paper/cifar"), other) == facts


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("optimizer.lr=0.25", r"recipe\.optimizer\.lr: 0\.1 on rank 0, 2; 0\.25 on rank 1"),
        ("seed=3", r"recipe\.seed: 0 on rank 0, 2; 3 on rank 1"),
        ("bn_batch=16", r"recipe\.bn_batch: null on rank 0, 2; 16 on rank 1"),
        ("memory_limit=2GiB", r'recipe\.memory_limit: null on rank 0, 2; "2GiB" on rank 1'),
        ("optimizer=AdamW", r"recipe\.optimizer\.momentum: 0\.9 on rank 0, 2; null on rank 1"),
    ],
)
def test_a_setting_that_differs_is_named_with_its_ranks_on_all_of_them(setting: str, named: str) -> None:
    recipe = find("paper/cifar")
    found = on_each(
        3,
        lambda ranks: agreement.require_equal(
            ranks, agreement.facts_of(recipe.with_overrides([setting]) if ranks.rank == 1 else recipe, HERE)
        ),
    )
    for error in found:
        assert isinstance(error, UsageError)
        with pytest.raises(UsageError, match=named):
            raise error


@pytest.mark.parametrize(
    "name", ["torch", "torchvision", "numpy", "pillow", "python", "resnets", "cudnn", "precision", "layout"]
)
def test_another_version_or_precision_is_named(name: str) -> None:
    other = copy.copy(HERE)
    object.__setattr__(other, name, "another")
    found = on_each(
        2,
        lambda ranks: agreement.require_equal(
            ranks, agreement.facts_of(find("paper/cifar"), other if ranks.rank else HERE)
        ),
    )
    assert all(f'{name}: "' in str(error) and '"another" on rank 1' in str(error) for error in found)


def test_a_rank_that_cannot_begin_is_named_on_the_others() -> None:
    def action(ranks: Ranks) -> str:
        def read() -> str:
            if ranks.rank == 1:
                raise DataError("There is no folder here.")
            return "data"

        return agreement.together(ranks, read)

    first, second, third = on_each(3, action)
    assert isinstance(second, DataError)
    for error in (first, third):
        assert isinstance(error, TrainingError)
        assert "Rank 1 of 3 cannot begin: There is no folder here." in str(error)


def test_rank_0_decides_for_all() -> None:
    assert on_each(3, lambda ranks: agreement.from_rank_0(ranks, lambda: f"of rank {ranks.rank}")) == ["of rank 0"] * 3

    def refused() -> None:
        raise UsageError("It cannot be kept.")

    found = on_each(2, lambda ranks: agreement.from_rank_0(ranks, refused))
    assert isinstance(found[0], UsageError)
    assert "Rank 0 of 2 cannot begin: It cannot be kept." in str(found[1])


def test_under_a_limit_of_memory_all_ranks_take_one_ghost_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ranks measure of their own memory differs: one had 64, another 16."""
    recipe = replace(find("paper/cifar"), memory_limit="1GiB", bn_batch=128)
    needs = {
        size: next(
            left for left in range(0, 2**30, 2**20)
            if fits(recipe, size, left)
        )
        for size in (64, 16)
    }  # fmt: skip
    rooms = [needs[64], needs[16]]

    def decide(ranks: Ranks) -> int | None:
        return memory.within_limit(recipe, HERE, ranks)[0].bn_batch

    local = threading.local()
    monkeypatch.setattr(memory, "room", lambda recipe, device: rooms[local.rank])

    def on_rank(ranks: Ranks) -> int | None:
        local.rank = ranks.rank
        return decide(ranks)

    assert [memory.bn_batch_within_limit(recipe, "fp32", 128, left) for left in rooms] == [64, 16]
    assert on_each(2, on_rank) == [16, 16]


def fits(recipe: Any, size: int, left: int) -> bool:
    try:
        return memory.bn_batch_within_limit(recipe, "fp32", 128, left) >= size
    except UsageError:
        return False


def rename(path: Path) -> None:
    path.rename(path.with_name("903.png"))


def same_size(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("change", [rename, same_size, lambda path: path.write_bytes(b"")])
def test_data_that_differs_is_named(change: Callable[[Path], object], part: str, data: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "data")
    read = [open_dataset(str(root)) for root in (data, other)]
    assert on_each(2, lambda ranks: require_same_files(read[ranks.rank], ranks)) == [None, None]
    change(other / part / "class1" / "003.png")
    read[1] = open_dataset(str(other))
    named = "training" if part == "train" else "test"
    for error in on_each(2, lambda ranks: require_same_files(read[ranks.rank], ranks)):
        assert isinstance(error, UsageError)
        assert f"{named} data (fingerprint)" in str(error)


def test_rank_0_scans_for_all(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = shutil.copytree(data, tmp_path / "data")
    (broken / "train" / "class1" / "003.png").write_bytes(b"no image")
    recipe = find("paper/cifar").with_overrides([*SETTINGS, f"data={broken}", "damaged=exclude"])
    alone, expected = prepare.resolve(recipe)
    scans: list[object] = []
    scan = data_scan.scan

    def counting(*arguments: Any, **options: Any) -> Any:
        scans.append(arguments)
        return scan(*arguments, **options)

    monkeypatch.setattr(shared_scan, "scan", counting)
    for resolved, found in on_each(3, lambda ranks: prepare.resolve(recipe, ranks=ranks)):
        assert resolved == alone
        assert found.sha256() == expected.sha256()
        assert found.notes == expected.notes
        assert len(found.train) == 119
    assert len(scans) == 2
    refused = replace(recipe, damaged="refuse")
    assert all("1 of 120 training" in str(e) for e in on_each(2, lambda ranks: prepare.resolve(refused, ranks=ranks)))


def test_ranks_do_not_score_different_samples_or_weights(data: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "data")
    (other / "val" / "class1" / "003.png").rename(other / "val" / "class1" / "903.png")
    datasets = [open_dataset(str(root)).split("val") for root in (data, other)]
    nets = [resnets.create("cifar_resnet20", seed=seed) for seed in (0, 0, 1)]

    def compared(images: tuple[int, int], networks: tuple[int, int]) -> list[Any]:
        return on_each(
            2,
            lambda ranks: agreement.require_equal_evaluation(
                ranks, datasets[images[ranks.rank]], [nets[networks[ranks.rank]]], "val"
            ),
        )

    assert compared((0, 0), (0, 1)) == [None, None]
    assert all("data (fingerprint)" in str(error) for error in compared((0, 1), (0, 1)))
    assert all("weights: " in str(error) for error in compared((0, 0), (0, 2)))


_IN = "import os, sys; os.chdir(sys.argv.pop(1)); from resnets.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def two_ranks(*ranks: tuple[Path, list[str]], script: str | None = None) -> list[tuple[int, str, str]]:
    """Two ranks that were started by hand, each in its own folder with its own command line."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank, (folder, argv) in enumerate(ranks):
        program = [_IN, str(folder)] if script is None else [script]
        process = subprocess.Popen(
            [sys.executable, "-c", *program, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        processes.append(process)
    return [finish(process) for process in processes]


def test_ranks_that_see_other_images_end_before_the_first_step(data: Path, tmp_path: Path) -> None:
    """One rank could not read an image, and leaves it out."""
    other = shutil.copytree(data, tmp_path / "other" / data.name)
    (other / "train" / "class2" / "000.png").write_bytes(b"")
    out = tmp_path / "r"
    argv = arguments(Path(data.name), out, "damaged=exclude", epochs=1)
    for code, _, err in two_ranks((data.parent, argv), (other.parent, argv)):
        assert code == 2, err
        assert "training data (fingerprint): " in err
    assert not (out / "recipe.json").exists()


@pytest.mark.slow
def test_ranks_of_other_settings_or_without_data_end_at_once(data: Path, tmp_path: Path) -> None:
    found = two_ranks(*((tmp_path, arguments(data, tmp_path / "r", f"seed={seed}", epochs=1)) for seed in (1, 2)))
    assert all(code == 2 and "recipe.seed: 1 on rank 0; 2 on rank 1" in err for code, _, err in found)
    found = two_ranks(
        *((tmp_path, arguments(folder, tmp_path / "r", epochs=1)) for folder in (data, tmp_path / "none"))
    )
    assert all(code == 1 and "There is no dataset or folder" in err for code, _, err in found)
    assert "Rank 1 of 2 cannot begin" in found[0][2]


_STOPPED = """
import signal, sys
from resnets.training.callbacks import CheckpointCallback
from resnets.cli import main
before, count = CheckpointCallback.before_evaluation, 0
def signalled(self):
    global count
    before(self)
    count += 1
    if count == 2 and self.training.ranks.is_main:
        signal.raise_signal(signal.SIGTERM)
CheckpointCallback.before_evaluation = signalled
sys.exit(main())
"""


@pytest.mark.slow
def test_one_rank_that_is_asked_to_stop_in_an_evaluation_stops_all_of_them_saved(data: Path, tmp_path: Path) -> None:
    out, expected = tmp_path / "r", tmp_path / "expected"
    argv = [arguments(data, path, "precision=fp32", "memory_limit=20GiB", epochs=1) for path in (out, expected)]
    for code, _, err in two_ranks(*((tmp_path, argv[0]) for _ in range(2)), script=_STOPPED):
        assert code == 128 + signal.SIGTERM, err
        assert "Step 10 is saved" in err
    assert checkpoint.read(out / "checkpoint", 10).state.evaluation_pending
    assert all(code == 0 for code, _, _ in two_ranks(*((tmp_path, ["resume", str(out)]) for _ in range(2))))
    assert all(code == 0 for code, _, _ in two_ranks(*((tmp_path, argv[1]) for _ in range(2))))
    assert curve(out) == curve(expected)
    assert sha_of(out) == sha_of(expected)
