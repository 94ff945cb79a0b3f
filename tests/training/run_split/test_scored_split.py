"""A run is scored on the images that it held out, and what else is scored is said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, UsageError
from tests.training.run_split.conftest import add, scored, split_of, train
from tests.training.runs import events


def test_files_that_come_and_go_move_no_image_from_one_split_to_the_other(copies: tuple[Path, Path]) -> None:
    run, data = copies
    trained, held_out = split_of(run)
    add(data / "cat", *range(100, 140))
    gone = sorted(held_out)[0], sorted(trained)[0]
    for name in gone:
        (data / name).unlink()
    names, scores = scored_here(run, data)
    assert names == held_out - set(gone)
    assert any("40 images of" in note and "neither train nor val: " in note and "100.png" in note
               for note in scores.notes)  # fmt: skip
    assert any(note.startswith("2 images that training began with are no longer in") for note in scores.notes)
    names, _ = scored_here(run, data, split="train")
    assert names == trained - set(gone)


def scored_here(run: Path, data: Path, **more: Any) -> tuple[set[str], Any]:
    """As `scored`, of a copy whose model file names the data of the original."""
    return scored(run, data=str(data), **{"split": "val", **more})


def test_a_folder_of_classes_is_scored_whole(
    plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "horse"):
        add(tmp_path / "new" / name, *range(50, 56))
    names, scores = scored(plain_run, data=str(tmp_path / "new"))
    assert (len(names), scores.split, scores.notes) == (12, "all", ())
    assert main(["evaluate", str(plain_run), "--data", str(tmp_path / "new"), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "all accuracy" in shown
    assert "val" not in shown


def test_classes_that_the_data_does_not_have_are_noted(plain_run: Path, tmp_path: Path) -> None:
    add(tmp_path / "new" / "cat", *range(50, 53))
    scores = resnets.evaluate(plain_run, data=str(tmp_path / "new"), device="cpu")
    assert scores.notes == (
        f"{tmp_path / 'new'} has one class only, cat: there is no other class to distinguish it from.",
        "The model knows 1 classes that the data does not have: horse.",
    )


def test_trained_images_among_those_scored_are_noted(copies: tuple[Path, Path]) -> None:
    run, data = copies
    names, scores = scored(run, data=str(data))
    assert (len(names), scores.split) == (40, "all")
    trained, _ = split_of(run)
    assert f"{len(trained)} of the 40 images in {data} have the names of images that the model was trained" in str(
        scores.notes
    )


def test_each_split_can_be_scored_and_is_called_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "photos"
    for split, count in (("train", 8), ("val", 3), ("test", 5)):
        for name in ("cat", "horse"):
            add(data / split / name, *range(100 * count, 100 * count + count))
    run = train(data, tmp_path / "r")
    shown = capsys.readouterr().out
    assert "16 images to train on, 6 in val" in shown
    assert "val accuracy" in shown
    assert shown.count("test accuracy") == 1  # at the end
    assert not re.findall("test loss|to test", shown)
    page = (run / "report.html").read_text()
    assert "of 6 val samples right" in page
    assert "<title>val of paper/cifar</title>" in page
    assert "val error, %" in page
    assert not re.findall("test error|test images|of test", page)
    assert [(e["split"], e["samples"]) for e in events(run) if e["event"] == "evaluation"][-1] == ("val", 6)
    assert events(run)[0]["split"] == "val"
    assert not (run / "split.jsonl.gz").exists()
    for split, count in (("train", 16), ("val", 6), ("test", 10)):
        names, scores = scored(run, split=split)
        assert (len(names), scores.split) == (count, split)
    assert scored(run)[1].split == "test"
    assert main(["evaluate", str(run), "--split", "val", "--json", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert (answer["split"], answer["samples"]) == ("val", 6)
    assert main(["evaluate", str(run), "--split", "all"]) == 2
    assert "no split 'all': choose --split from train, val, test" in capsys.readouterr().err


def test_a_finished_run_of_digits_is_of_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = resnets.train("digits", "steps=1", out=tmp_path / "r", device="cpu")
    assert run.metrics["split"] == "test"
    assert main(["resume", str(tmp_path / "r")]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_every_command_prints_the_notes_of_the_data(
    copies: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copies[1]
    shutil.copy(data / "cat" / "000.png", data / "loose.png")
    note = "images beside the class folders, in no class, were left out (1): loose.png."
    run = train(data, tmp_path / "again")
    assert note in capsys.readouterr().out
    shutil.copytree(run, tmp_path / "cut")
    log = tmp_path / "cut" / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if '"end"' not in line))
    loading = ["benchmark", "cifar_resnet20", "--data", data, "--steps", "1", "--batch", "2", "--size", "8"]
    for command in (["resume", tmp_path / "cut"], ["evaluate", run], ["replay", run, "--step", "1"], loading):
        assert main([str(word) for word in command]) == 0
        assert note in capsys.readouterr().out, command
    for command in (["evaluate", run], ["replay", run, "--step", "1"]):
        assert main([str(word) for word in [*command, "--json"]]) == 0
        captured = capsys.readouterr()
        assert note in captured.err, command
        assert isinstance(json.loads(captured.out), dict)


def test_a_model_file_on_its_own_says_that_trained_images_are_scored(plain_run: Path, tmp_path: Path) -> None:
    shutil.copy(plain_run / "model.safetensors", tmp_path / "m.safetensors")
    scores = resnets.evaluate(tmp_path / "m.safetensors", device="cpu")
    assert (scores.split, scores.metrics["samples"]) == ("all", 40)
    assert "they are among those scored" in scores.notes[-1]
    # Beside its run, or loaded from there, it is the run's.
    for model in (plain_run / "model.safetensors", resnets.load(plain_run)):
        assert resnets.evaluate(model, device="cpu").split == "val"


def test_models_that_held_out_different_images_are_no_ensemble_on_them(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    data = copies[1]
    first = train(data, tmp_path / "first")
    add(data / "cat", *range(30, 50))
    second = train(data, tmp_path / "second")
    assert resnets.evaluate(first, first, device="cpu").split == "val"
    with pytest.raises(UsageError, match="held out different images"):
        resnets.evaluate(first, second, device="cpu")


def test_nothing_is_held_out_of_train_alone_for_evaluation_of_another_model(plain_run: Path, tmp_path: Path) -> None:
    for name in ("cat", "horse"):
        add(tmp_path / "new" / "train" / name, *range(5))
    with pytest.raises(UsageError, match="no split 'test': choose --split from train"):
        resnets.evaluate(plain_run, data=str(tmp_path / "new"), device="cpu")
    add(tmp_path / "else" / "cat", 900)
    with pytest.raises(DataError, match="has none of the images that the run held out"):
        resnets.evaluate(plain_run, data=str(tmp_path / "else"), split="val", device="cpu")
