"""Files that cannot be read: found before the first step or in the middle of a run, and listed in the run's folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.core.errors import DataError, FileError
from resnets.data.sampler import EpochSampler
from resnets.training import build, checkpoint, prepare
from resnets.training.damage import Damage, DamageLog
from resnets.training.distributed import Ranks
from resnets.training.plan import read_plan
from resnets.training.run_folder import RunFolder
from tests.conftest import break_middle, truncate
from tests.training.cut import Cut
from tests.training.runs import arguments, curve, events, run_resnets, sha_of

# Several ranks can share a ghost batch of six; statistics would have every image decoded before the first step.
SETTINGS = ("normalize=given", "damaged=exclude", "batch=12", "bn_batch=6", "precision=fp32")


@pytest.fixture
def broken(data: Path, tmp_path: Path) -> Path:
    """Two training files cut short and one broken in the middle; a test file of each kind."""
    copy = shutil.copytree(data, tmp_path / "data")
    truncate(copy / "train" / "class0" / "003.png")
    (copy / "train" / "class2" / "000.png").write_bytes(b"no image")
    break_middle(copy / "train" / "class1" / "007.png")
    truncate(copy / "val" / "class0" / "002.png")
    break_middle(copy / "val" / "class2" / "004.png")
    return copy


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "damaged.jsonl").read_text().splitlines()]


def train(data: Path, out: Path, *more: str, **options: Any) -> resnets.Run:
    settings = [a for a in arguments(data, out, *SETTINGS, *more) if "=" in a]
    return resnets.train("paper/cifar", *settings, data=str(data), out=out, **{"epochs": 3, **options})


def names(found: list[dict[str, Any]]) -> list[str]:
    return ["/".join(Path(line["path"]).parts[-3:]) for line in found]


def test_what_the_scan_refuses_is_listed_before_the_first_step_and_what_decoding_finds_with_its_step(
    broken: Path, tmp_path: Path
) -> None:
    first: list[list[dict[str, Any]]] = []

    def subscriber(event: dict[str, Any]) -> None:
        if event["event"] == "start":
            first.append(lines(tmp_path / "r"))

    run = train(broken, tmp_path / "r", subscribers=(subscriber,))
    (scanned,) = first
    assert names(scanned) == ["train/class0/003.png", "train/class2/000.png", "val/class0/002.png"]
    assert [line["split"] for line in scanned] == ["train", "train", "val"]
    found = lines(tmp_path / "r")
    assert found[:3] == scanned
    in_steps = [line for line in found[3:] if line["path"].endswith("007.png")]
    assert names(found[3:]).count("val/class2/004.png") == 1
    assert len(in_steps) == 3  # once an epoch
    reported = [event for event in events(tmp_path / "r") if event["event"] == "damaged"]
    assert sorted((e["step"], e["path"]) for e in reported) == sorted(
        (line["step"], line["path"]) for line in found[3:]
    )
    assert run.metrics["damaged"] == {line["path"]: line["reason"] for line in found}
    assert set(names([{"path": path} for path in run.metrics["damaged"]])) == set(names(found))
    assert resnets.resume(tmp_path / "r").metrics["damaged"] == run.metrics["damaged"]


def test_a_last_line_that_was_cut_off_is_mended_before_more_is_added(tmp_path: Path) -> None:
    whole, late = Damage(path="a", reason="x", step=1), Damage(path="b", reason="y", step=2)
    log = DamageLog(tmp_path)
    log.append(whole)
    log.path.write_bytes(log.path.read_bytes() + b'{"path": "half')
    log.cut(1)
    log.append(late)
    assert DamageLog(tmp_path).read() == [whole, late]


def test_an_image_that_was_mended_twice_is_known_as_it_first_was(tmp_path: Path) -> None:
    log = DamageLog(tmp_path)
    for step, size in (3, 10), (7, 20):
        log.append(Damage(path="a", reason="x", step=step, number=4, size=size, sha256=f"{size:032x}"))
    assert log.before_mending() == {4: (10, bytes.fromhex(f"{10:032x}"))}


def test_an_evaluation_lists_what_it_could_not_read(data: Path, broken: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "r", epochs=1)
    resnets.evaluate(run.folder, data=str(broken), out=tmp_path / "scores")
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["excluded"] == 2
    assert names([{"path": path} for path in metrics["damaged"]]) == ["val/class0/002.png", "val/class2/004.png"]


def test_a_resumed_run_leaves_out_and_replaces_the_same_without_a_scan(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(broken, tmp_path / "whole")
    assert len(lines(tmp_path / "whole")) > 4

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 17:
            raise Cut

    with pytest.raises(Cut):
        train(broken, tmp_path / "r", subscribers=(subscriber,), checkpoint_steps=5)
    monkeypatch.setattr(prepare, "scan_once", None)
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(tmp_path / "whole")
    assert curve(tmp_path / "r") == curve(tmp_path / "whole")
    assert lines(tmp_path / "r") == lines(tmp_path / "whole")
    step = next(line["step"] for line in lines(tmp_path / "r") if line["path"].endswith("007.png"))
    assert resnets.replay(tmp_path / "whole", step=step).loss > 0


@pytest.mark.slow
def test_two_ranks_replace_as_one_does(broken: Path, tmp_path: Path) -> None:
    train(broken, tmp_path / "one", "optimizer.lr=0.01")
    argv = arguments(broken, tmp_path / "two", *SETTINGS, "optimizer.lr=0.01", epochs=3)
    code, _, err = run_resnets(argv, ranks=2)
    assert code == 0, err
    key = ("step", "path")
    one, two = ([tuple(line.get(k) for k in key) for line in lines(tmp_path / name)] for name in ("one", "two"))
    assert sorted(map(str, one)) == sorted(map(str, two))
    reported = [(e["step"], e["path"]) for e in events(tmp_path / "two") if e["event"] == "damaged"]
    assert len([path for _, path in reported if path.endswith("007.png")]) == 3
    networks = [resnets.load(tmp_path / name).network.state_dict() for name in ("one", "two")]
    for name, value in networks[0].items():
        assert (value - networks[1][name]).abs().max() <= 1e-5 * value.abs().max(), name


def test_refused_in_the_middle_of_a_run_it_stops_saved_and_named(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    broken = copy / "train" / "class1" / "007.png"
    content = broken.read_bytes()
    train(copy, tmp_path / "whole", "damaged=refuse")
    break_middle(broken)
    step = next(step for step in range(30) if 47 in EpochSampler(120, 12, 0).ids(step))
    with pytest.raises(DataError, match=rf"007\.png is damaged.* Step {step} is saved: go on with: resnets resume"):
        train(copy, tmp_path / "r", "damaged=refuse")
    assert checkpoint.steps(tmp_path / "r" / "checkpoint")[0] == step
    broken.write_bytes(content)
    for stop in (20, None):  # what it knows of the mended file outlives another interruption

        def subscriber(event: dict[str, Any], stop: int | None = stop) -> None:
            if stop and event.get("step", 0) >= stop:
                raise Cut

        with pytest.raises(Cut) if stop else contextlib.nullcontext():
            resnets.resume(tmp_path / "r", subscribers=(subscriber,))
    assert sha_of(tmp_path / "r") == sha_of(tmp_path / "whole")
    assert lines(tmp_path / "r")[0]["step"] == step + 1
    assert resnets.resume(tmp_path / "r").metrics["damaged"] == {}
    victim = copy / "train" / "class1" / "008.png"
    victim.write_bytes(content)
    with pytest.raises(DataError, match="does not hold the training samples"):
        resnets.replay(tmp_path / "r", step=3)


@pytest.mark.slow
def test_refused_on_one_rank_all_stop_saved_and_name_it(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    ids = EpochSampler(120, 12, 0)
    step, row = next((s, r) for s in range(3, 10) for r, i in enumerate(ids.ids(s)) if r >= 6)  # made by rank 1
    number = int(ids.ids(step)[row])
    broken = copy / "train" / f"class{number // 40}" / f"{number % 40:03}.png"
    content = broken.read_bytes()
    break_middle(broken)
    argv = arguments(copy, tmp_path / "r", *SETTINGS, "damaged=refuse", "optimizer.lr=0.01", epochs=2)
    code, _, err = run_resnets(argv, ranks=2)
    assert code != 0
    assert f"{broken} is damaged" in err
    assert f"Step {step} is saved" in err
    assert "is gone" not in err
    assert checkpoint.steps(tmp_path / "r" / "checkpoint")[0] == step
    broken.write_bytes(content)
    resnets.resume(tmp_path / "r")
    assert events(tmp_path / "r")[-1]["event"] == "end"


def test_a_replaced_row_weighs_nothing_and_the_others_as_ever(broken: Path, tmp_path: Path) -> None:
    train(broken, tmp_path / "r")
    folder = RunFolder(tmp_path / "r")
    plan = read_plan(folder.recipe)
    training, made = build.build_training(plan, prepare.reopen(plan, folder), Ranks())
    step = next(line["step"] for line in lines(folder.path) if line["path"].endswith("007.png")) - 1
    batch = training.with_rng_keys(made.make(step))
    outputs: list[torch.Tensor] = []
    hook = training.network.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    loss = training.accumulate(batch)
    hook.remove()
    each = training.task.loss(lambda inputs: torch.cat(outputs), batch)["loss"]
    assert batch["weights"].tolist().count(0) == 1
    assert float(loss) == pytest.approx(float((each * batch["weights"]).sum().detach() / 12), rel=1e-5)


def test_data_that_changed_is_refused_though_the_names_are_the_same(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 10:
            raise Cut

    with pytest.raises(Cut):
        train(copy, tmp_path / "r", subscribers=(subscriber,), checkpoint_steps=5)
    first, second = copy / "train" / "class0" / "001.png", copy / "train" / "class0" / "002.png"
    first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match="does not hold the training samples"):
        resnets.resume(tmp_path / "r")
    first.unlink()
    with pytest.raises(DataError, match="does not hold the training samples"):
        resnets.replay(tmp_path / "r", step=3)


def test_a_list_of_damage_that_was_lost_is_other_data(broken: Path, tmp_path: Path) -> None:
    train(broken, tmp_path / "r", epochs=1)
    (tmp_path / "r" / "damaged.jsonl").unlink()
    with pytest.raises(DataError, match="does not hold the training samples"):
        resnets.replay(tmp_path / "r", step=3)


MALFORMED = [
    b"[]",
    b"{}",
    b"null",
    b"[[[",
    b"\xff",
    b'{"path": 1, "reason": "x"}',
    b'{"path": "x", "reason": "y", "split": "dev"}',
    b'{"path": "x", "reason": "y", "step": -1}',
    b'{"path": "x", "reason": "y", "number": 1e9}',
]


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_list_is_our_error(line: bytes, tmp_path: Path) -> None:
    log = DamageLog(tmp_path)
    log.append(Damage(path="a\udcff\n.png", reason="cut", step=3))
    whole = log.path.read_bytes()
    assert log.read() == [Damage(path="a\udcff\n.png", reason="cut", step=3)]
    log.path.write_bytes(whole + line + b"\n")
    with pytest.raises(FileError, match="line 2"):
        log.read()
    log.path.write_bytes(whole + line[:-1])  # cut off while it was written
    assert len(log.read()) == 1
