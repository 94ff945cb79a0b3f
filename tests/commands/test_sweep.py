"""`train --sweep`: every combination in one table, killed and resumed, several at a time, and with runs that fail."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from resnets.commands.sweep_runs import SweepRuns
from resnets.core.errors import TrainingError, UsageError
from resnets.training import runner
from resnets.training.sweep import combinations
from tests.training.runs import events

SMALL = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8", "batch=64", "steps=12")
SWEEP = ("optimizer.lr=0.003,0.05", "seed=0,1")


def flags(*sweeps: str) -> list[str]:
    return [word for each in sweeps for word in ("--sweep", each)]


def sha256(folder: Path | str) -> str:
    return model_file.weights_sha256(model_file.load(Path(folder) / "model.safetensors")[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SweepRuns:
    out = tmp_path_factory.mktemp("sweep") / "whole"
    found = resnets.train("digits", *SMALL, val_share=0.2, sweep=SWEEP, device="cpu", out=out)
    assert isinstance(found, SweepRuns)
    return found


def test_each_combination_is_the_run_of_its_settings(whole: SweepRuns, tmp_path: Path) -> None:
    metrics = whole.metrics
    assert [each["values"] for each in metrics["runs"]] == [
        {"optimizer.lr": rate, "seed": seed} for rate in ("0.003", "0.05") for seed in "01"
    ]
    for number in (2, 3):
        values = metrics["runs"][number - 1]["values"]
        settings = (f"optimizer.lr={values['optimizer.lr']}", f"seed={values['seed']}")
        alone = resnets.train("digits", *SMALL, *settings, val_share=0.2, device="cpu", out=tmp_path / str(number))
        assert sha256(alone.folder) == sha256(whole.folder / f"run-{number}")
        assert metrics["runs"][number - 1]["accuracy"] == alone.metrics["accuracy"]


def test_the_table_has_mean_and_deviation_over_seeds_the_best_first(whole: SweepRuns) -> None:
    metrics = whole.metrics
    assert (metrics["metric"], metrics["split"], metrics["names"]) == ("accuracy", "val", ["optimizer.lr"])
    for row in metrics["rows"]:
        own = [metrics["runs"][number - 1] for number in row["runs"]]
        assert {each["values"]["optimizer.lr"] for each in own} == set(row["values"])
        assert row["mean"] == pytest.approx(statistics.mean(each["accuracy"] for each in own))
        assert row["deviation"] == pytest.approx(statistics.stdev(each["accuracy"] for each in own))
        assert row["test"] == pytest.approx(statistics.mean(each["test"]["accuracy"] for each in own))
    first, second = metrics["rows"]
    assert first["mean"] > second["mean"]
    best = metrics["runs"][metrics["best"] - 1]
    assert best["accuracy"] == max(metrics["runs"][number - 1]["accuracy"] for number in first["runs"])
    assert whole.best is not None
    assert whole.best.folder == Path(best["folder"])
    assert resnets.load(whole.model).classes
    page = (whole.folder / "index.html").read_text()
    assert "optimizer.lr" in page
    assert f"{first['mean']:.2%} ± {first['deviation']:.2%}" in page
    assert json.loads((whole.folder / "results.json").read_text()) == json.loads(json.dumps(metrics))


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_resumed_is_the_whole_one(whole: SweepRuns, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "killed"
    arguments = ["train", "digits", *SMALL, "--val-share", "0.2", *flags(*SWEEP), "--device", "cpu", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "resnets", *arguments], stdout=subprocess.DEVNULL)
    started = time.monotonic()
    while not (out / "run-2" / "recipe.json").exists():
        assert process.poll() is None
        assert time.monotonic() - started < 120
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "results.json").exists()
    assert main(["resume", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == whole.metrics["rows"]
    assert [sha256(out / f"run-{n}") for n in range(1, 5)] == [sha256(whole.folder / f"run-{n}") for n in range(1, 5)]
    assert main(["resume", str(out), "--json"]) == 0  # all of it is done
    assert json.loads(capsys.readouterr().out)["rows"] == whole.metrics["rows"]
    with pytest.raises(UsageError, match="are for one run"):
        resnets.resume(out, epochs="+1")


@pytest.mark.slow
def test_several_runs_at_a_time_are_the_same_runs(whole: SweepRuns, tmp_path: Path, capsys: Any) -> None:
    arguments = ["train", "digits", *SMALL, "--val-share", "0.2", *flags(*SWEEP), "--device", "cpu", "--jobs", "2"]
    assert main([*arguments, "--out", str(tmp_path / "s")]) == 0
    shown = capsys.readouterr().out
    assert "optimizer.lr  val accuracy" in shown
    assert f"best    {tmp_path / 's' / 'run-'}" in shown
    found = json.loads((tmp_path / "s" / "results.json").read_text())
    assert found["rows"] == whole.metrics["rows"]


def test_a_run_that_diverges_is_a_failure_in_the_table(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "s"
    arguments = ["train", "digits", *SMALL, "--val-share", "0.2", "--device", "cpu", "--out", str(out)]
    assert main([*arguments, *flags("optimizer.lr=1e30,0.05"), "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [(row["values"], row["failed"]) for row in found["rows"]] == [(["0.05"], 0), (["1e30"], 1)]
    assert found["rows"][1]["mean"] is None
    assert "Run 1 (optimizer.lr=1e30) failed" in shown.err
    assert "Runs that failed" in (out / "index.html").read_text()
    assert main(["resume", str(out), "--json"]) == 0  # it is tried again, and diverges again
    assert json.loads(capsys.readouterr().out)["rows"] == found["rows"]
    assert (out / "run-1" / "failed.json").exists()
    with pytest.raises(TrainingError, match="Every run of the sweep failed"):
        resnets.train("digits", *SMALL, sweep=("optimizer.lr=1e30",), device="cpu", out=tmp_path / "none")


def test_resume_tries_runs_again_that_had_failed(
    whole: SweepRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "s"
    train, tried = runner.train, []

    def without_memory(recipe: Any, folder: Any, **options: Any) -> Any:
        tried.append(recipe.seed)
        if recipe.seed == 1 and len(tried) < 3:
            raise TrainingError("There is not enough memory.")
        return train(recipe, folder, **options)

    monkeypatch.setattr(runner, "train", without_memory)
    arguments = ["train", "digits", *SMALL, "--val-share", "0.2", "--device", "cpu", "--out", str(out)]
    assert main([*arguments, *flags("optimizer.lr=0.05", "seed=0,1"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["failed"] for row in found["rows"]] == [1]
    assert json.loads((out / "run-2" / "failed.json").read_text()) == {"failed": "There is not enough memory."}
    assert main(["resume", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["failed"] for row in found["rows"]] == [0]
    assert tried == [0, 1, 1]  # what has ended is not trained again
    assert not (out / "run-2" / "failed.json").exists()
    assert sha256(out / "run-2") == sha256(whole.folder / "run-4")


def test_without_val_no_run_is_the_best(tmp_path: Path, capsys: Any) -> None:
    arguments = ["train", "digits", *SMALL, "--device", "cpu", "--out", str(tmp_path / "s"), *flags("seed=3,4")]
    assert main([*arguments]) == 0
    shown = capsys.readouterr().out
    assert "No best run is named: test is for judging, not for choosing." in shown
    assert [events(tmp_path / "s" / f"run-{n}")[0]["event"] for n in (1, 2)] == ["start", "start"]


def test_values_are_divided_at_commas_outside_of_brackets() -> None:
    names, values = combinations(["model.depths=[1,1],[2,2]", "warmup=none, Warmup"])
    assert names == ("model.depths", "warmup")
    assert values == (("[1,1]", "none"), ("[1,1]", "Warmup"), ("[2,2]", "none"), ("[2,2]", "Warmup"))


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (("seed",), "A sweep is SETTING=A,B"),
        (("seed=1,,2",), "A sweep is SETTING=A,B"),
        (("seed=1", "seed=2"), "swept twice"),
        (("seed=1,1",), "occurs twice"),
        (("optimiser.lr=1",), "optimizer"),
        (("seed=" + ",".join(map(str, range(1001))),), "at most 1,000 runs"),
        (("model=resnet18,resnet34",), "The network is no setting"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path: Path, sweep: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resnets.train("digits", *SMALL, sweep=sweep, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_what_a_sweep_does_not_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jobs is for --sweep"):
        resnets.train("digits", jobs=2, out=tmp_path / "s")
    with pytest.raises(UsageError, match="without --fold all"):
        resnets.train("digits", sweep=("seed=0,1",), fold="all", out=tmp_path / "s")


def test_a_run_of_no_use_or_too_little_time_is_a_failure_too(tmp_path: Path) -> None:
    found = resnets.train(
        "digits", *SMALL[:-1], "nonfinite=skip", "epochs=1", "clip_norm=none", val_share=0.2, device="cpu",
        sweep=("optimizer.lr=1e30,0.05",), out=tmp_path / "lr",
    )  # fmt: skip
    assert [row["failed"] for row in found.metrics["rows"]] == [0, 1]
    assert found.metrics["best"] == 2
    assert "diverged" in found.metrics["runs"][0]["failed"]
    small = SMALL[:-1]
    timed = resnets.train(
        "digits", *small, "epochs=1", val_share=0.2, device="cpu", sweep=("minutes=0.001,5",), out=tmp_path / "m"
    )
    assert [row["failed"] for row in timed.metrics["rows"]] == [0, 1]
    assert "minutes" in timed.metrics["runs"][0]["failed"] or "min" in timed.metrics["runs"][0]["failed"]
    again = resnets.resume(tmp_path / "m")
    assert [row["failed"] for row in again.metrics["rows"]] == [0, 1]
