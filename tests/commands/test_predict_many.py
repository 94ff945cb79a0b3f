"""Many inputs of `predict`: lists on standard input, commands that were cut off, and several ranks."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.artifacts.inputs import listed_paths
from resnets.core import progress
from resnets.evaluation import scoring
from resnets.evaluation.predictor import NetworkPredictor
from tests.command_line import TINY, call, write_photos
from tests.training.runs import run_resnets

COUNT = 11
BATCH = 4


class Cut(BaseException):
    """Ends a command as rudely as an exception can."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = write_photos(folder / "photos", {"train": 6, "test": 2})
    return resnets.train("digits", *TINY, "steps=2", "epochs=none", data=data, out=folder / "r", device="cpu").folder


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "new").mkdir()
    found = [tmp_path / "new" / f"{number:02}.png" for number in range(COUNT)]
    g = np.random.default_rng(0)
    for path in found:
        Image.fromarray(g.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(path)
    return found


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the inputs that were decoded; batches are small."""
    names: list[str] = []
    load = NetworkPredictor.load

    def counted(self: NetworkPredictor, dataset: Any, index: int) -> Any:
        names.append(Path(dataset.name(index)).name)
        return load(self, dataset, index)

    monkeypatch.setattr(NetworkPredictor, "load", counted)
    monkeypatch.setattr(scoring, "BATCH", BATCH)
    return names


def cut_off(run: Path, files: list[Path], out: Path, answers: int, *flags: object) -> None:
    """A command that ends rudely after so many answers."""
    done = 0
    show = progress.Line.__call__

    def counted(self: progress.Line, text: str, *, now: bool = False) -> None:
        nonlocal done
        done += 1
        if done == answers:
            raise Cut
        show(self, text, now=now)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(progress.Line, "__call__", counted)
        with pytest.raises(Cut):
            call("predict", run, *files, "--out", out, *flags)
    assert not out.exists()


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_cut_off_it_goes_on_and_decodes_nothing_twice(
    ending: str, run: Path, files: list[Path], decoded: list[str], tmp_path: Path
) -> None:
    out, whole = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    result = call("predict", run, *files, "--out", whole, "--workers", "1")
    assert (result.code, result.out) == (0, f"answers {whole}: {len(files)} inputs\n")  # thousands would scroll by
    decoded.clear()
    cut_off(run, files, out, 2 * BATCH + 1, "--workers", "1")  # in the third batch
    assert (tmp_path / f"a.{ending}.unfinished").exists()
    decoded.clear()
    result = call("predict", run, *files, "--out", out, "--workers", "1")
    assert result.code == 0
    assert sorted(decoded) == [path.name for path in files[2 * BATCH :]]
    assert f"8 inputs of {out} were answered before" in result.err
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.unfinished*"))


def test_parquet_has_the_columns_and_the_values_of_csv(run: Path, files: list[Path], tmp_path: Path) -> None:
    from pyarrow import csv, parquet

    for ending in ("csv", "parquet"):
        assert call("predict", run, *files, "--out", tmp_path / f"a.{ending}").code == 0
    written, expected = parquet.read_table(tmp_path / "a.parquet"), csv.read_csv(tmp_path / "a.csv")
    assert written.schema.names == expected.schema.names
    assert written.schema.types == expected.schema.types
    assert written.to_pylist() == expected.to_pylist()
    assert len(written) == COUNT


def test_a_changed_file_is_answered_anew_and_so_are_all_at_other_settings(
    run: Path, files: list[Path], decoded: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "a.csv"
    cut_off(run, files, out, BATCH + 1)
    os.utime(files[1], ns=(1, 1))
    decoded.clear()
    assert call("predict", run, *files, "--out", out).code == 0
    assert sorted(decoded) == [path.name for path in (files[1], *files[BATCH:])]
    cut_off(run, files, tmp_path / "b.csv", BATCH + 1)
    decoded.clear()
    result = call("predict", run, *files, "--out", tmp_path / "b.csv", "--top", "1")
    assert "another model or other settings" in result.err
    assert sorted(decoded) == [path.name for path in files]


@pytest.mark.parametrize("damage", ["torn", "no JSON", "other class", "link", "binary"])
def test_damaged_answers_are_not_used(
    damage: str, run: Path, files: list[Path], decoded: list[str], tmp_path: Path
) -> None:
    out, beside = tmp_path / "a.csv", tmp_path / "a.csv.unfinished"
    cut_off(run, files, out, BATCH + 1)
    content = beside.read_text()
    elsewhere = tmp_path / "elsewhere"
    if damage == "torn":  # by a kill: the whole lines hold
        beside.write_text(content[:-5])
    elif damage == "no JSON":
        beside.write_text(content.replace('"name"', "name", 1))
    elif damage == "other class":
        beside.write_text(content.replace('"blue"', '"violet"', 1))
    elif damage == "link":
        elsewhere.write_text(content)
        beside.unlink()
        beside.symlink_to(elsewhere)
    else:
        beside.write_bytes(b"\xff\x00\n" * 3)
    decoded.clear()
    result = call("predict", run, *files, "--out", out)
    assert result.code == 0
    assert len(decoded) == (COUNT - BATCH + 1 if damage == "torn" else COUNT)
    assert ("is damaged" in result.err) == (damage != "torn")
    assert not beside.exists()
    if damage == "link":
        assert elsewhere.read_text() == content
    whole = tmp_path / "whole.csv"
    assert call("predict", run, *files, "--out", whole).code == 0
    assert out.read_bytes() == whole.read_bytes()


def given_on_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_list_on_standard_input_stands_for_its_paths(
    separator: str, run: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = files[0].rename(tmp_path / "new" / "a[1]*.png")
    named = [str(odd), *map(str, files[1:3]), str(tmp_path / "missing[1].png")]
    given_on_standard_input(monkeypatch, separator.join(named).encode() + separator.encode())
    found = call("predict", run, files[3], "-", files[4], "--json")
    assert [each["input"] for each in found.json["predictions"]] == [str(files[3]), *named[:3], str(files[4])]
    assert [each["input"] for each in found.json["failed"]] == named[3:]
    assert found.code == 1


def test_names_with_line_breaks_and_empty_lines() -> None:
    assert [each.path for each in listed_paths(io.BytesIO(b"a\nb\0c\0"))] == ["a\nb", "c"]
    assert [each.path for each in listed_paths(io.BytesIO(b"\na\n\n b \r\nc"))] == ["a", " b ", "c"]
    long = b"\n".join(b"x" * 999 + str(n).encode() for n in range(200))
    assert b"\n".join(each.path.encode() for each in listed_paths(io.BytesIO(long))) == long


def test_an_empty_list_is_no_input(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_on_standard_input(monkeypatch, b"\n\n")
    found = call("predict", run, "-")
    assert (found.code, "list on standard input is empty" in found.err) == (2, True)
    given_on_standard_input(monkeypatch, b"x")
    assert "give - once" in call("predict", run, "-", "-").err


@pytest.mark.slow
def test_ranks_share_the_files_and_answer_as_one_process(run: Path, files: list[Path], tmp_path: Path) -> None:
    many = [*files, tmp_path / "missing.png", *files * 12]  # two batches
    (tmp_path / "list").write_text("".join(f"{path}\n" for path in many))
    alone = call("predict", run, *many, "--json", "--device", "cpu")
    arguments = ["predict", str(run), *map(str, many), "--json", "--device", "cpu", "--out", str(tmp_path / "a.csv")]
    code, out, err = run_resnets(arguments, ranks=2)
    assert code == 1, err  # of the one that is missing
    assert json.loads(out) == alone.json
    assert call("predict", run, *many, "--out", tmp_path / "b.csv", "--device", "cpu").code == 1
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert not list(tmp_path.glob("*.unfinished*"))


def test_what_one_rank_left_unfinished_any_number_of_ranks_goes_on_with(
    run: Path, files: list[Path], decoded: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "a.csv"
    cut_off(run, files, out, BATCH + 1)
    (tmp_path / "a.csv.unfinished").rename(tmp_path / "a.csv.unfinished.1")
    decoded.clear()
    assert call("predict", run, *files, "--out", out).code == 0
    assert sorted(decoded) == [path.name for path in files[BATCH:]]
    assert not list(tmp_path.glob("*.unfinished*"))
