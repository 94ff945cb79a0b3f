"""A run goes on from another folder, with moved data, for TensorBoard, and beyond its end."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, FileError, InterruptedRunError, UsageError
from resnets.recipes.catalog import find
from resnets.training import checkpoint
from resnets.training.extension import parse_epochs, restarted
from resnets.training.plan import read_plan
from resnets.training.recipe import Muon
from resnets.training.run_folder import new_run_folder
from resnets.training.schedules import Cosine, OneCycle, Step, Warmup, factor
from tests.training.cut import Cut, cut_after
from tests.training.runs import arguments, curve, events, sha_of

TINY = ("model.depths=[1]", "model.widths=[8]", "precision=fp32")


def trained(data: Path | str, out: Path | None, *more: str, epochs: float = 2, **options: Any) -> resnets.Run:
    settings = [a for a in arguments(Path("x"), Path("r"), *TINY, *more) if "=" in a]
    return resnets.train("paper/cifar", *settings, data=str(data), out=out, epochs=epochs, **options)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 steps."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    trained(data, out)
    return out


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "finished"))


def test_a_run_goes_on_from_another_folder(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    cut_after(data.name, tmp_path / "r", 10, *TINY, epochs=2)
    assert json.loads((tmp_path / "r" / "recipe.json").read_text())["recipe"]["data"] == data.name
    monkeypatch.chdir(tmp_path)
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert resnets.replay("r", step=20).step == 20
    assert resnets.evaluate("r").metrics["loss"] == resnets.evaluate(whole).metrics["loss"]
    again = resnets.train(str(tmp_path / "r" / "recipe.json"), out=tmp_path / "again")
    assert sha_of(again.folder) == sha_of(whole)


def test_a_dataset_with_a_name_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 2:
            raise Cut

    with pytest.raises(Cut):
        resnets.train("digits", *TINY, "steps=4", out="r", checkpoint_steps=1, subscribers=(stop,))
    assert read_plan(Path("r/recipe.json")).data_path is None
    resnets.resume("r", data="digits")
    assert resnets.resume("r").was_finished


def test_data_that_moved_is_given_and_remembered(data: Path, whole: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(data, tmp_path / "first"))
    cut_after(first, tmp_path / "r", 10, *TINY, epochs=2)
    moved = first.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no dataset or folder"):
        resnets.resume(tmp_path / "r")
    other = Path(shutil.copytree(moved, tmp_path / "other"))
    (other / "train" / "class0" / "000.png").unlink()
    with pytest.raises(DataError, match="say where they are now with --data"):
        resnets.resume(tmp_path / "r", data=str(other))
    assert read_plan(tmp_path / "r" / "recipe.json").data == str(first)

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 15:
            raise Cut

    with pytest.raises(Cut):
        resnets.resume(tmp_path / "r", data=str(moved), subscribers=(stop,))
    assert read_plan(tmp_path / "r" / "recipe.json").data == str(moved)
    resnets.resume(tmp_path / "r")  # it knows by now
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert curve(tmp_path / "r") == curve(whole)


def test_a_recipe_file_of_an_earlier_version_resumes_and_has_the_hash_that_it_had(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    path = tmp_path / "r" / "recipe.json"
    saved = read_plan(path)
    described = json.loads(path.read_text())
    for name in ("data_path", "tensorboard", "extensions"):
        del described[name]
    path.write_text(json.dumps(described))
    assert read_plan(path).sha256 == saved.sha256
    assert replace(saved, data_path="/x", tensorboard=True, extensions=(3.0,)).sha256 == saved.sha256
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)


def test_tensorboard_goes_on_after_resume(data: Path, tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    cut_after(data, tmp_path / "r", 15, *TINY, epochs=2, tensorboard=True, checkpoint_steps=10)
    assert read_plan(tmp_path / "r" / "recipe.json").tensorboard
    resnets.resume(tmp_path / "r")
    found = accumulators.EventAccumulator(str(tmp_path / "r" / "tensorboard"))
    found.Reload()
    for tag, kind, figure in (("train/loss", "step", "loss"), ("val/accuracy", "evaluation", "accuracy")):
        written = [(e.step, e.value) for e in found.Scalars(tag)]
        logged = [(e["step"], pytest.approx(e[figure], rel=1e-5)) for e in events(tmp_path / "r") if e["event"] == kind]
        assert written == logged


def test_without_tensorboard_a_run_goes_on_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_after(data, tmp_path / "r", 15, *TINY, epochs=2, tensorboard=True)
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    resnets.resume(tmp_path / "r")
    assert "The run goes on without" in capsys.readouterr().err


def test_two_processes_without_a_folder_claim_different_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    barrier = threading.Barrier(8)
    claimed: list[Path] = []

    def claim() -> None:
        barrier.wait()
        claimed.append(new_run_folder(None, "a/b").path)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in claimed) == sorted(["a-b", *(f"a-b-{i}" for i in range(2, 9))])
    assert all(path.is_dir() for path in claimed)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    Path("runs").write_text("in the way")
    with pytest.raises(FileError, match="Cannot make a folder in runs"):
        new_run_folder(None, "a")


def test_a_run_that_does_not_begin_leaves_its_name_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        trained(tmp_path / "none", None)
    assert not Path("runs").exists()


# --epochs +N


@pytest.mark.parametrize("text", ["5", "+", "++5", "+-5", "-5", "+0", "+nan", "+inf", "+1e9", "five", "", "+ 5"])
def test_epochs_are_more_epochs(text: str, finished: Path) -> None:
    assert parse_epochs("+5") == 5
    assert parse_epochs("+0.5") == 0.5
    with pytest.raises(UsageError, match=r"epochs takes \+N, for N epochs more"):
        resnets.resume(finished, epochs=text)
    assert sha_of(finished)


def test_an_unfinished_run_is_not_made_longer(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    assert main(["resume", str(tmp_path / "r"), "--epochs", "+2"]) == 2
    assert f"has not finished, so it cannot be made longer yet: first go on with: resnets resume {tmp_path / 'r'}" in (
        capsys.readouterr().err
    )


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [e for e in events(run) if e["event"] == "step"]


def test_a_finished_run_trains_on_from_a_tenth_of_the_peak_to_the_end_of_its_schedule(
    whole: Path, finished: Path
) -> None:
    before = resnets.load(finished).network.state_dict()
    assert main(["resume", str(finished), "--epochs", "+2"]) == 0
    lines = events(finished)
    assert [e["event"] for e in lines if e["event"] in ("start", "extension", "end")] == [
        "start", "end", "extension", "end",
    ]  # fmt: skip
    recorded = next(e for e in lines if e["event"] == "extension")
    peak = read_plan(finished / "recipe.json").recipe.optimizer.lr
    assert (recorded["step"], recorded["steps"], recorded["epochs"]) == (20, 40, 2)
    assert recorded["lr"] == pytest.approx(peak / 10)
    assert steps_of(finished)[: len(steps_of(whole))] == steps_of(whole)
    more = steps_of(finished)[len(steps_of(whole)) :]
    assert [e["step"] for e in more][-1] == 40
    recipe = restarted(read_plan(finished / "recipe.json").recipe, 2)
    assert [e["lr"] for e in more] == [
        pytest.approx(0.1 * peak * factor(recipe.schedule, (e["step"] - 1 - 20) / 20)) for e in more
    ]
    assert [e["step"] for e in lines if e["event"] == "evaluation"][-4:] == [25, 30, 35, 40]
    after = resnets.load(finished).network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert (
        resnets.load(finished).card.metrics["accuracy"]
        == [e for e in lines if e["event"] == "evaluation"][-1]["accuracy"]
    )
    assert resnets.resume(finished).was_finished
    assert resnets.replay(finished, step=33).step == 33


def test_it_is_finished_though_a_subscriber_fails_at_its_end_or_the_log_is_lost(finished: Path) -> None:
    def fails_at_the_end(event: dict[str, Any]) -> None:
        if event["event"] == "end":
            raise RuntimeError("no network")

    resnets.resume(finished, epochs="+1", subscribers=(fails_at_the_end,))
    assert events(finished)[-1]["event"] == "warning"
    assert resnets.resume(finished).was_finished
    log = finished / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[-2:]))  # as where an earlier part was lost
    assert resnets.resume(finished).was_finished


def test_data_that_is_not_where_it_was_said_is_refused(data: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    recorded = (tmp_path / "r" / "recipe.json").read_bytes()
    with pytest.raises(DataError, match=r"There is no dataset or folder '.*nowhere'"):
        resnets.resume(tmp_path / "r", data=str(tmp_path / "nowhere"))
    assert (tmp_path / "r" / "recipe.json").read_bytes() == recorded


def test_it_can_be_made_longer_more_than_once(finished: Path) -> None:
    resnets.resume(finished, epochs="+1")
    resnets.resume(finished, epochs="+0.5")
    assert read_plan(finished / "recipe.json").extensions == (1.0, 0.5)
    assert [e["step"] for e in events(finished) if e["event"] == "extension"] == [20, 30]
    assert steps_of(finished)[-1]["step"] == 35
    assert [e["event"] for e in events(finished)].count("end") == 3


@pytest.mark.parametrize("step", [22, 33])
def test_an_extension_that_is_cut_off_resumes_to_the_same_weights(step: int, finished: Path, tmp_path: Path) -> None:
    expected = Path(shutil.copytree(finished, tmp_path / "expected"))
    resnets.resume(expected, epochs="+2")

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= step:
            signal.raise_signal(signal.SIGTERM) if step > 30 else cut()

    def cut() -> None:
        raise Cut

    with pytest.raises((Cut, InterruptedRunError)):
        resnets.resume(finished, epochs="+2", subscribers=(stop,))
    with pytest.raises(UsageError, match="has not finished"):
        resnets.resume(finished, epochs="+2")
    resnets.resume(finished)
    assert sha_of(finished) == sha_of(expected)
    assert curve(finished) == curve(expected)
    assert [e["event"] for e in events(finished)].count("extension") == 1


@pytest.mark.parametrize("moment", ["before the plan", "before the model", "before the end"])
def test_an_extension_killed_between_its_files_is_made_or_not_made(
    moment: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Path(shutil.copytree(finished, tmp_path / "expected"))
    resnets.resume(expected, epochs="+1")

    def cut(*arguments: Any, **named: Any) -> Any:
        raise Cut

    with monkeypatch.context() as patched:
        if moment == "before the plan":
            patched.setattr("resnets.training.extension.write_plan", cut)
        elif moment == "before the model":
            patched.setattr("resnets.artifacts.model_file.save", cut)
        else:
            patched.setattr("resnets.training.callbacks.CheckpointCallback.cost", cut)
        with pytest.raises(Cut):
            resnets.resume(finished, epochs="+1")
    if moment == "before the plan":
        assert resnets.resume(finished).was_finished
        resnets.resume(finished, epochs="+1")
    else:
        resnets.resume(finished)
    assert sha_of(finished) == sha_of(expected)
    assert curve(finished) == curve(expected)


def test_an_extension_whose_checkpoints_are_gone_is_refused(finished: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 22:
            raise Cut

    with pytest.raises(Cut):
        resnets.resume(finished, epochs="+2", subscribers=(stop,))
    checkpoint.remove(finished / "checkpoint", [s for s in checkpoint.steps(finished / "checkpoint") if s >= 20])
    before = sha_of(finished)
    with pytest.raises(FileError, match="extension"):
        resnets.resume(finished)
    assert sha_of(finished) == before


def test_another_networks_model_is_not_trained_on(data: Path, finished: Path, tmp_path: Path) -> None:
    other = trained(data, tmp_path / "other", "model.widths=[16]", epochs=0.5)
    shutil.copy(other.model, finished / "model.safetensors")
    with pytest.raises(FileError, match="not the model of this run"):
        resnets.resume(finished, epochs="+1")
    assert read_plan(finished / "recipe.json").extensions == ()


@pytest.mark.parametrize("values", [[0], [-1.0], ["2"], [1e9], {}, [None]])
def test_odd_extensions_are_refused(values: Any, finished: Path) -> None:
    path = finished / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extensions": values}))
    with pytest.raises(FileError, match="damaged"):
        resnets.resume(finished)


def test_the_rate_of_an_extension() -> None:
    recipe = find("paper/cifar").with_overrides(["warmup=Warmup", "warmup.epochs=1", "optimizer.lr=0.5"])
    assert recipe.warmup == Warmup(epochs=1)
    longer = restarted(recipe, 3)
    assert (longer.optimizer.lr, longer.warmup, longer.epochs, longer.steps) == (0.05, None, 3, None)
    assert longer.schedule == recipe.schedule
    cycle = restarted(replace(recipe, schedule=OneCycle(peak=0.3), warmup=None), 3)
    assert [factor(cycle.schedule, done) for done in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]
    muon = restarted(replace(recipe, optimizer=Muon()), 3).optimizer
    assert isinstance(muon, Muon)
    assert (muon.lr, muon.classifier_lr, muon.vector_lr) == pytest.approx((0.024, 0.002, 0.01))
    for schedule in (Cosine(), Step()):
        assert restarted(replace(recipe, schedule=schedule), 3).schedule == schedule
