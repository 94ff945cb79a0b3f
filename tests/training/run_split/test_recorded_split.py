"""Which images a run trained on and held out is recorded, and the record is read or named as damaged."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main
from resnets.core.errors import FileError, ResnetsError, UsageError
from resnets.data.splits import with_watched_split
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.folder import open_folder
from resnets.training import run_split
from resnets.training.plan import read_plan
from resnets.training.run_folder import RunFolder
from tests.training.run_split.conftest import add, scored, split_of, train
from tests.training.runs import events

OLD = Path(__file__).parents[2] / "compatibility" / "files" / "0.1.0"


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


def test_the_record_lies_in_the_run(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).split == tmp_path / "split.jsonl.gz"
