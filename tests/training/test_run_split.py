"""Which images a run trained on and which it held out: recorded, and scored as recorded."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, FileError, ResnetsError, UsageError
from resnets.data.splits import with_watched_split
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.folder import open_folder
from resnets.training import run_split
from resnets.training.plan import read_plan
from resnets.training.run_folder import RunFolder
from tests.training.runs import events

TINY = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "preprocessing.resize=16",
        "preprocessing.crop=16", "batch=8"]  # fmt: skip
OLD = Path(__file__).parents[1] / "compatibility" / "files" / "0.1.0"


def add(folder: Path, *numbers: int) -> None:
    """Adds images of noise to a class folder, the lighter the longer the class's name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng([number, len(folder.name)]).integers(0, 40 * len(folder.name), (20, 20, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.png")


def train(data: Path, out: Path, *more: str) -> Path:
    argv = ["train", "paper/cifar", "--data", data, "--out", out, "--epochs", "1", "--device", "cpu", *TINY, *more]
    assert main([str(word) for word in argv]) == 0
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    for name in ("cat", "horse"):
        add(root / name, *range(20))
    return root


@pytest.fixture(scope="module")
def plain_run(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(plain, tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture
def copies(plain: Path, plain_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The run and its data, to change."""
    data, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(plain, data)
    shutil.copytree(plain_run, run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["recipe"]["data"] = str(data)
    (run / "recipe.json").write_text(json.dumps(recipe))
    return run, data


def split_of(run: Path) -> tuple[set[str], set[str]]:
    """The images, from the data's root, that the run's record has as trained on and as held out."""
    with gzip.open(run / "split.jsonl.gz") as file:
        lines = [json.loads(line) for line in file]
    trained, held_out = ({name for split, name in lines if split == which} for which in ("train", "val"))
    return trained, held_out


def scored(run: Path, **more: Any) -> tuple[set[str], Any]:
    """The images that `evaluate` scores, by class and file, and the scores."""
    import csv

    out = run.parent / "evaluated"
    shutil.rmtree(out, ignore_errors=True)
    scores = resnets.evaluate(run, device="cpu", out=out, **more)
    with open(out / "predictions.csv", newline="") as file:
        names = {"/".join(Path(row["image"]).parts[-2:]) for row in csv.DictReader(file)}
    assert len(names) == scores.metrics["samples"]
    assert f"<h1>{scores.split} of " in (out / "report.html").read_text()
    assert json.loads((out / "metrics.json").read_text())["split"] == scores.split
    return names, scores


def test_a_run_records_its_split_and_is_scored_by_it(plain: Path, plain_run: Path) -> None:
    trained, held_out = split_of(plain_run)
    assert trained | held_out == {f"{name}/{number:03}.png" for name in ("cat", "horse") for number in range(20)}
    assert not trained & held_out
    assert read_plan(plain_run / "recipe.json").split_rule == "hash"
    last = [event for event in events(plain_run) if event["event"] == "evaluation"][-1]
    names, scores = scored(plain_run)
    assert (names, scores.split) == (held_out, "val")
    assert (scores.accuracy, scores.metrics["loss"]) == (last["accuracy"], last["loss"])
    for split, expected in (("val", held_out), ("train", trained), ("all", trained | held_out)):
        names, scores = scored(plain_run, split=split)
        assert (names, scores.split) == (expected, split)
    with pytest.raises(UsageError, match="no split 'test': choose --split from all, train, val"):
        resnets.evaluate(plain_run, split="test")


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
    assert not re.findall("test accuracy|test loss|to test", shown)
    page = (run / "report.html").read_text()
    assert "of 6 val images right" in page
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


def test_images_held_out_by_number_are_recorded(tmp_path: Path) -> None:
    run = train(Path("digits"), tmp_path / "r", "holdout=100", "model.stem_width=8")
    assert resnets.evaluate(run, split="val", device="cpu").metrics["samples"] == 100
    assert resnets.evaluate(run, split="train", device="cpu").metrics["samples"] == 1337
    assert resnets.evaluate(run, device="cpu").metrics["samples"] == 360


def test_a_run_of_the_first_version_is_split_by_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    assert read_plan(Path("plain-finished/recipe.json")).split_rule == "stratified"
    by_rule = with_watched_split(open_folder(Path("plain")), "plain", rule="stratified").test
    expected = {"/".join(Path(by_rule.name(i)).parts[-2:]) for i in range(len(by_rule))}
    by_hash = with_watched_split(open_folder(Path("plain")), "plain").test
    assert expected != {"/".join(Path(by_hash.name(i)).parts[-2:]) for i in range(len(by_hash))}
    names, scores = scored(Path("plain-finished").resolve())
    assert (names, scores.split) == (expected, "val")
    assert "no record of its split" in scores.notes[-1]
    assert main(["resume", "plain-cut"]) == 0
    shown = capsys.readouterr().out
    assert "val accuracy" in shown
    assert "24 images to train on, 6 to evaluate on" in shown
    assert read_plan(Path("plain-cut/recipe.json")).split_rule == "stratified"
    assert main(["resume", "plain-cut"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert main(["resume", "plain-finished"]) == 0
    assert "test accuracy" not in capsys.readouterr().out  # nothing says of which split the figure is
    # From then on a file more or less moves none to the other side.
    assert split_of(Path("plain-cut"))[1] == expected
    add(Path("plain/dark"), *range(100, 120))
    assert scored(Path("plain-cut").resolve())[0] == expected


def test_names_of_any_bytes_are_recorded(tmp_path: Path) -> None:
    names = [b"cat/\xff\xfe %d.png" % number for number in range(6)] + [b"dog/new\nline %d" % n for n in range(3)]
    root = tmp_path / "data"
    for name in names:
        path = os.path.join(os.fsencode(root), name if name.endswith(b".png") else name + b".png")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    splits = with_watched_split(open_folder(root), "data")
    run_split.write(tmp_path / "split.jsonl.gz", splits)
    found = run_split.read(tmp_path / "split.jsonl.gz")
    for split in ("train", "val"):
        dataset = splits.splits[split]
        assert {dataset.key(i) for i in range(len(dataset))} == {
            name for name, which in found.items() if which == split
        }


def test_the_record_of_a_million_names_is_small(tmp_path: Path) -> None:
    class Many:
        def __init__(self, numbers: range) -> None:
            self.numbers = numbers

        def __len__(self) -> int:
            return len(self.numbers)

        def key(self, index: int) -> bytes:
            return b"n%08d/n%08d_%d.JPEG" % ((self.numbers[index] // 1300,) * 2 + (self.numbers[index],))

    splits = DatasetSplits({"train": Many(range(80_000)), "val": Many(range(80_000, 100_000))}, held_out=True)  # type: ignore[dict-item]
    run_split.write(tmp_path / "split.jsonl.gz", splits)
    assert (tmp_path / "split.jsonl.gz").stat().st_size < 100_000 * 8
    assert len(run_split.read(tmp_path / "split.jsonl.gz")) == 100_000


LINES = b'["val", "x"]\n' * 99
DAMAGED = [b"", b'["train"]', b'["most", "x"]', b"[1, 2]"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", *map(gzip.compress, DAMAGED), gzip.compress(LINES)[:-9], gzip.compress(LINES)[:20]],
    ids=["empty", "no gzip", "no line", "no name", "no split", "numbers", "cut at the end", "cut"],
)
def test_a_damaged_record_is_named(plain_run: Path, copies: tuple[Path, Path], content: bytes) -> None:
    run, _ = copies
    (run / "split.jsonl.gz").write_bytes(content)
    with pytest.raises(FileError, match=r"split\.jsonl\.gz is damaged") as caught:
        resnets.evaluate(run, device="cpu")
    assert isinstance(caught.value, ResnetsError)


def test_a_run_without_its_record_is_split_by_its_rule(copies: tuple[Path, Path]) -> None:
    run = copies[0]
    held_out = split_of(run)[1]
    (run / "split.jsonl.gz").unlink()
    names, scores = scored(run)
    assert (names, scores.split) == (held_out, "val")
    assert "no record of its split" in scores.notes[-1]


def test_nothing_is_held_out_of_train_alone_for_evaluation_of_another_model(plain_run: Path, tmp_path: Path) -> None:
    for name in ("cat", "horse"):
        add(tmp_path / "new" / "train" / name, *range(5))
    with pytest.raises(UsageError, match="no split 'test': choose --split from train"):
        resnets.evaluate(plain_run, data=str(tmp_path / "new"), device="cpu")
    add(tmp_path / "else" / "cat", 900)
    with pytest.raises(DataError, match="has none of the images that the run held out"):
        resnets.evaluate(plain_run, data=str(tmp_path / "else"), split="val", device="cpu")


def test_the_record_lies_in_the_run(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).split == tmp_path / "split.jsonl.gz"
