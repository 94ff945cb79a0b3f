"""Several processes train and evaluate as one does."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

import resnets
from resnets.core.errors import UsageError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.catalog import open_dataset
from resnets.modalities.inputs import open_reader
from resnets.recipes.catalog import find
from resnets.training import checkpoint
from resnets.training.batch_norm import bn_batch_size
from resnets.training.distributed import Ranks
from tests.training.runs import arguments, curve, events, finish, make_images, run_resnets, start

# Of weights after 50 steps at another world size, in float32: gradients are added up in another order. At this
# learning rate they differ by 4e-7 of the largest; at 0.1 training itself enlarges rounding to 4e-3.
TOLERANCE = 1e-5
PLAIN = ("precision=fp32", "optimizer.lr=0.01")


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "alone"
    code, _, err = run_resnets(arguments(data, out, *PLAIN, epochs=5))
    assert code == 0, err
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return resnets.load(run).network.state_dict()


def assert_close(run: Path, other: Path) -> None:
    for name, value in weights(run).items():
        expected = weights(other)[name]
        assert (value - expected).abs().max() <= TOLERANCE * expected.abs().max(), name


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_with_ghost_batches_fixed_more_ranks_change_the_weights_by_rounding_alone(
    world: int, data: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    code, shown, err = run_resnets(arguments(data, out, *PLAIN, epochs=5), ranks=world)
    assert code == 0, err
    assert shown.count("val accuracy") == len([e for e in events(out) if e["event"] == "evaluation"]) + 1
    assert [e["step"] for e in events(out) if e["event"] == "step"] == [c[1] for c in curve(alone) if c[0] == "step"]
    assert len([e for e in events(out) if e["event"] == "step"]) > 3
    assert_close(out, alone)


@pytest.mark.parametrize(
    ("world", "bn_batch"),
    [(2, 12), pytest.param(3, 12, marks=pytest.mark.slow), pytest.param(4, 6, marks=pytest.mark.slow)],
)
def test_ranks_that_share_a_ghost_batch_synchronize_its_statistics(
    world: int, bn_batch: int, data: Path, tmp_path: Path
) -> None:
    expected, out = tmp_path / "alone", tmp_path / "shared"
    settings = (*PLAIN, f"bn_batch={bn_batch}")
    assert run_resnets(arguments(data, expected, *settings, epochs=2))[0] == 0
    code, _, err = run_resnets(arguments(data, out, *settings, epochs=2), ranks=world)
    assert code == 0, err
    assert_close(out, expected)
    assert events(out)[-1]["event"] == "end"


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [(2, 1), (2, 3)])
def test_a_run_goes_on_at_another_world_size(worlds: tuple[int, int], data: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    process = start(arguments(data, out, *PLAIN, "--checkpoint-steps", "5", epochs=5), ranks=worlds[0])
    while process.poll() is None and not checkpoint.steps(out / "checkpoint"):
        time.sleep(0.01)
    process.kill()
    finish(process)
    time.sleep(3)  # ranks notice that their agent is gone
    code, _, err = run_resnets(["resume", str(out)], ranks=worlds[1])
    assert code == 0, err
    assert [e["step"] for e in events(out) if e["event"] == "step"] == [c[1] for c in curve(alone) if c[0] == "step"]
    assert_close(out, alone)


def children_of(process: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process:
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_hangs_is_named_and_the_others_leave_with_the_checkpoint_whole(
    how: signal.Signals, data: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    argv = arguments(data, out, *PLAIN, "--checkpoint-steps", "5", "--rank-timeout", "5", epochs=5)
    # Ranks started by hand: torchrun's agent would end the others before they could say what they saw.
    ranks = [
        start(argv, MASTER_ADDR="127.0.0.1", MASTER_PORT="29611", WORLD_SIZE="2", RANK=str(r), LOCAL_RANK=str(r))
        for r in (0, 1)
    ]
    while ranks[0].poll() is None and not checkpoint.steps(out / "checkpoint"):
        time.sleep(0.01)
    ranks[1].send_signal(how)
    killed = time.monotonic()
    code, _, err = finish(ranks[0])
    ended = time.monotonic()
    ranks[1].kill()
    finish(ranks[1])
    assert code == 1
    assert ended - killed < 40  # 5 s, and 7 s to hear which ranks send heartbeats, on a machine with other work
    assert "Rank 1 of 2 is gone" in err
    assert "resnets resume" in err
    resnets.resume(out)
    assert_close(out, alone)


@pytest.mark.slow
def test_ranks_stop_after_the_same_step_where_one_is_asked_to(data: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    argv = arguments(data, out, *PLAIN, "--checkpoint-steps", "5", epochs=5)
    ranks = [
        start(argv, MASTER_ADDR="127.0.0.1", MASTER_PORT="29613", WORLD_SIZE="2", RANK=str(r), LOCAL_RANK=str(r))
        for r in (0, 1)
    ]
    while ranks[0].poll() is None and not checkpoint.steps(out / "checkpoint"):
        time.sleep(0.01)
    ranks[1].send_signal(signal.SIGTERM)  # which rank 0, that writes, only hears of
    codes = [finish(each)[0] for each in ranks]
    assert codes[0] == codes[1] != 0
    assert checkpoint.steps(out / "checkpoint")
    assert not (out / "model.safetensors").exists()
    resnets.resume(out)
    assert_close(out, alone)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_under_torchrun_a_job_goes_on_after_a_rank_was_killed(data: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    argv = arguments(data, out, *PLAIN, "--checkpoint-steps", "5", epochs=5)
    process = start(argv, ranks=2, torchrun=("--max-restarts=2",))
    while process.poll() is None and not checkpoint.steps(out / "checkpoint"):
        time.sleep(0.01)
    os.kill(children_of(process.pid)[-1], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0, err
    assert_close(out, alone)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("many"), train=1, val=333)  # 999


def predictions(run: Path, data: Path, out: Path, ranks: int) -> tuple[bytes, bytes]:
    argv = ["evaluate", str(run), "--data", str(data), "--out", str(out)]
    code, shown, err = run_resnets(argv, ranks=ranks)
    assert code == 0, err
    assert shown.count("val accuracy") == 1
    return (out / "predictions.csv").read_bytes(), (out / "metrics.json").read_bytes()


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_997_images_score_the_same_on_any_number_of_ranks(world: int, many: Path, alone: Path, tmp_path: Path) -> None:
    for extra in (331, 332):
        (many / "val" / "class2" / f"{extra}.png").unlink(missing_ok=True)
    expected = predictions(alone, many, tmp_path / "alone", 1)
    rows = list(csv.DictReader(expected[0].decode().splitlines()))
    assert [row["image"] for row in rows] == [row["image"] for row in sorted(rows, key=lambda r: r["image"])]
    assert len(rows) == json.loads(expected[1])["samples"] == 997
    assert sum(row["label"] == row["predicted"] for row in rows) / 997 == json.loads(expected[1])["accuracy"]
    assert predictions(alone, many, tmp_path / "shared", world) == expected


def test_ranks_together_make_the_batches_of_one(data: Path) -> None:
    recipe = find("paper/cifar").with_overrides(["batch=12", "bn_batch=4"])
    dataset = open_dataset(str(data)).train

    def batches(rank: int, world: int) -> Batches:
        own = Ranks(rank, world).share(3)
        return Batches(
            dataset,
            sampler=EpochSampler(len(dataset), 12, seed=3),
            reader=open_reader(recipe.preprocessing, recipe.augmentations),
            seed=3,
            bn_batch=4,
            device=torch.device("cpu"),
            rows=slice(own.start * 4, own.stop * 4),
        )

    for step in (0, 9, 10, 11):
        whole = batches(0, 1).make(step)
        for world in (2, 3):
            parts = [batches(rank, world).make(step) for rank in range(world)]
            for name, value in whole.dense.items():
                assert torch.equal(torch.cat([part[name] for part in parts]), value)


def test_the_ghost_batches_of_a_batch_are_divided_among_ranks() -> None:
    recipe = find("paper/cifar").with_overrides(["batch=48", "bn_batch=8"])
    for world in (1, 2, 3, 4, 5):
        lam = [Ranks(rank, world).share(48 // 8) for rank in range(world)]
        assert [number for share in lam for number in share] == list(range(6))
        assert max(map(len, lam)) - min(map(len, lam)) <= 1
    assert bn_batch_size(recipe, 3) == 8
    assert bn_batch_size(find("paper/cifar"), 8) == 16
    assert bn_batch_size(recipe, 12) == 8  # two ranks a ghost batch
    with pytest.raises(UsageError, match="7 ranks cannot divide the 6 ghost batches"):
        bn_batch_size(recipe, 7)
    with pytest.raises(UsageError, match="cannot be divided equally"):
        bn_batch_size(find("paper/cifar"), 3)


def test_without_batch_norm_a_batch_may_be_of_one_sample_a_rank() -> None:
    recipe = find("paper/cifar").with_overrides(["model.norm=frozen", "batch=2"])
    assert (bn_batch_size(recipe, 1), bn_batch_size(recipe, 2)) == (2, 1)
    with pytest.raises(UsageError, match="with 1 sample or more"):
        bn_batch_size(recipe, 3)
