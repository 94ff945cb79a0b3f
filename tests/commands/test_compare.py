"""`resnets compare`, on runs of digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.core.errors import UsageError
from tests.training.run_split.conftest import TINY, add

SHORT = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "batch=64")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """One that has learned for long, and one that has hardly begun."""
    root = tmp_path_factory.mktemp("compare")
    return (
        resnets.train("digits", *SHORT, epochs=1, device="cpu", seed=0, out=root / "short"),
        resnets.train("digits", *SHORT, epochs=5, device="cpu", seed=0, out=root / "long"),
    )


@pytest.mark.slow
def test_the_better_model_is_found(runs: tuple[Run, Run], tmp_path: Path, capsys: Any) -> None:
    short, long = runs
    found = resnets.compare(short, long, short, device="cpu", out=tmp_path)
    assert [each["model"] for each in found["models"]] == [str(Path(each)) for each in (short, long, short)]
    for each, run in zip(found["models"], (short, long, short), strict=True):
        assert each["accuracy"] == run.metrics["accuracy"]
        assert each["interval"][0] < each["accuracy"] < each["interval"][1]
    better, same = found["differences"]
    assert better["difference"] == pytest.approx(long.metrics["accuracy"] - short.metrics["accuracy"])
    assert better["interval"][0] > 0
    test = better["mcnemar"]
    assert (test["second_alone"] - test["first_alone"]) / found["samples"] == pytest.approx(better["difference"])
    assert test["p"] < 0.01
    assert (same["difference"], same["interval"], same["mcnemar"]["p"]) == (0, [0, 0], 1)
    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(json.dumps(found, default=str))
    page = (tmp_path / "compare.html").read_text()
    assert "is better than" in page
    assert "is neither surely better nor worse than" in page

    assert main(["compare", str(short.folder), str(long.folder), "--device", "cpu", "--metric", "loss"]) == 0
    shown = capsys.readouterr().out
    assert f"{long.folder} is better than {short.folder}: loss -" in shown.replace("\n", " ")
    assert main(["compare", str(short.folder), str(long.folder), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "accuracy"


def test_groups_are_found_and_the_area_under_the_curve_compares_two_classes(tmp_path: Path) -> None:
    """Ten patients of four images of each class."""
    for split, numbers in (("train", range(4)), ("val", range(4, 14))):
        for name in ("cat", "horse"):
            add(tmp_path / "photos" / split / name, *range(4 * numbers[0], 4 * numbers[-1] + 4))
    for path in sorted((tmp_path / "photos").glob("*/*/*.png")):
        path.rename(path.with_name(f"patient{int(path.stem) // 4}-{path.stem}.png"))
    settings: dict[str, Any] = {"data": tmp_path / "photos", "group_by": r"patient(\d+)", "device": "cpu"}
    runs = [
        resnets.train("paper/cifar", *TINY, **settings, epochs=epochs, seed=seed, out=tmp_path / str(seed))
        for seed, epochs in enumerate((1, 2))
    ]
    found = resnets.compare(*runs, device="cpu")
    assert (found["groups"], found["samples"]) == (10, 80)
    plain = resnets.compare(*runs, device="cpu", data=tmp_path / "photos" / "val")
    assert plain["groups"] == 10  # of the names in any data
    with pytest.raises(UsageError, match="top5 says something of 6 classes or more, and there are 2"):
        resnets.compare(*runs, metric="top5", device="cpu")
    assert resnets.compare(*runs, metric="auc", device="cpu")["metric"] == "auc"


def test_what_cannot_be_compared_is_refused(runs: tuple[Run, Run], tmp_path: Path) -> None:
    short, _ = runs
    with pytest.raises(UsageError, match="two models or more"):
        resnets.compare(short)
    with pytest.raises(UsageError, match="metric of classification"):
        resnets.compare(short, short, metric="miou")
    other = resnets.train("digits", *SHORT, epochs=1, val_share=0.2, device="cpu", out=tmp_path / "other")
    with pytest.raises(UsageError, match=r"no split 'val'|held out different"):
        resnets.compare(short, other, split="val", device="cpu")


def test_samples_that_were_trained_on_are_said(tmp_path: Path, capsys: Any) -> None:
    root = tmp_path / "photos"
    for name in ("cat", "horse"):
        add(root / name, *range(20))
    runs = [
        resnets.train("paper/cifar", *TINY, data=root, device="cpu", epochs=1, seed=seed, out=tmp_path / str(seed))
        for seed in (0, 1)
    ]
    copies = [shutil.copy(run.model, tmp_path / f"{number}.safetensors") for number, run in enumerate(runs)]
    assert resnets.compare(*runs, device="cpu")["leak"] is None
    found = resnets.compare(*copies, device="cpu", out=tmp_path / "c")
    assert "which images of" in found["leak"]
    assert "which images of" in capsys.readouterr().err
    assert "These figures cannot be trusted" in (tmp_path / "c" / "compare.html").read_text()


def test_a_model_that_is_loaded_is_not_asked_to_compute_otherwise(runs: tuple[Run, Run]) -> None:
    model = resnets.load(runs[0])
    ways: list[dict[str, Any]] = [{"runtime": "openvino"}, {"precision": "int8"}, {"calibrate": "photos"}]
    for how in ways:
        with pytest.raises(UsageError, match="A Model is as it was loaded: give its file"):
            resnets.evaluate(model, **how)
        with pytest.raises(UsageError, match="A Model is as it was loaded: give its file"):
            resnets.predict(model, "x.png", **how)
