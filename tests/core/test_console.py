"""Names of files and classes: none crashes a command, steers a terminal, breaks JSON or runs in a spreadsheet."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.artifacts.calibration import calibration_digest
from resnets.cli import main
from resnets.core.console import note, printable, quiet, say
from resnets.experiments.catalog import EXPERIMENTS
from resnets.experiments.page import Facts, write_page
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.training.progress import Live, Plain
from tests.command_line import TINY

# Not UTF-8, a terminal's command, a right-to-left override, a line break, a formula, rich's markup, what ASCII lacks.
NOT_UTF8 = os.fsdecode(b"\xff\xfe")
CLASSES = tuple(sorted((NOT_UTF8, "\x1b[31mred", "x\u202egnp", "a\nb", "=1+1", "[red]x", "猫", ":boom:")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd names")
    g = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for label, name in enumerate(CLASSES):
            place = root / part / name
            try:
                place.mkdir(parents=True)
            except OSError:
                pytest.skip("this file system does not take the names")
            for number in range(count):
                noise = g.integers(0, 40, (18, 18, 3)) + 20 * label
                Image.fromarray(noise.astype(np.uint8)).save(place / f"{number}{name}.png")
        (root / part / CLASSES[0] / f"bad{NOT_UTF8}.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on such a folder, in a process whose output is ASCII, and what that printed."""
    out = tmp_path_factory.mktemp("runs") / os.fsdecode(b"r\xff\x1b[1m")
    shown = subprocess.run(
        [sys.executable, "-m", "resnets", "train", "paper/cifar", "--data", folder, "--out", out, "--epochs", "1",
         "damaged=exclude", *TINY],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return out, shown.stdout.decode("ascii")


def is_safe(text: str) -> bool:
    return all(c == "\n" or c.isprintable() for c in text)


@pytest.mark.slow
def test_a_run_prints_and_writes_any_name(run: tuple[Path, str]) -> None:
    out, printed = run
    assert is_safe(printed)
    assert r"r\udcff\x1b[1m" in printed
    assert r"bad" in printed  # the damaged image is named
    assert resnets.load(out).classes == CLASSES
    assert b"\x1b" not in (out / "log.jsonl").read_bytes()
    (out / "report.html").read_text("utf-8")
    for line in (out / "log.jsonl").read_bytes().splitlines():
        json.loads(line.decode("ascii"))


@pytest.mark.parametrize("command", ["evaluate", "predict", "describe", "resume"])
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow), "utf-8"])
def test_every_command_prints_any_name(
    command: str, encoding: str, run: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run[0]
    images = [folder / "val" / name / f"0{name}.png" for name in CLASSES]
    bad = folder / "val" / CLASSES[0] / f"bad{NOT_UTF8}.png"
    more = [*images, bad] if command == "predict" else []
    for json_too in ([], ["--json"]):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        code = main([command, *map(str, (out, *more)), *json_too])
        monkeypatch.undo()
        for stream in streams:
            stream.flush()
        written = [stream.buffer.getvalue() for stream in streams]
        assert code == (1 if command == "predict" else 0)
        assert is_safe(written[0].decode(encoding)), written[0]
        assert is_safe(written[1].decode(encoding)), written[1]
        if json_too:
            answer = json.loads(written[0].decode("ascii"))
            if command == "predict":
                assert [p["input"] for p in answer["predictions"]] == list(map(str, images))
                assert answer["failed"][0]["input"] == str(bad)
            if command == "describe":
                assert tuple(answer["classes"]) == CLASSES


def test_a_spreadsheet_runs_no_name(run: tuple[Path, str], folder: Path, tmp_path: Path) -> None:
    resnets.evaluate(run[0], out=tmp_path / "e")
    with open(tmp_path / "e" / "predictions.csv", encoding="utf-8", newline="") as file:
        heading, *rows = list(csv.reader(file))
    labels = {row[1] for row in rows}
    assert "'=1+1" in labels
    assert not [
        cell for row in rows for cell in (*row[:3], row[6]) if cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    ]
    assert all(float(row[3]) <= 1 and float(row[4]) == float(row[4]) for row in rows)
    own = ["image", "label", "predicted", "confidence", "loss", "suspicion"]
    assert heading == [*own, "picture"]  # the old name beside it
    assert [row[0] for row in rows] == [row[6] for row in rows]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.png", "plain.png"),
        ("Größe 猫 é", "Größe 猫 é"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian, with its joiner
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b31m\x07\x00\x7f", r"\x9b31m\x07\x00\x7f"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("gpj\u202egnp\u2066", r"gpj\u202egnp\u2066"),
        ("\u2028\ufeff\U000e0041", r"\u2028\ufeff\U000e0041"),
        ("\udcff\ud800", r"\udcff\ud800"),
    ],
)
def test_printable_escapes_what_a_terminal_obeys_or_hides(text: str, shown: str) -> None:
    assert printable(text) == shown


def start_event(note: str) -> dict[str, Any]:
    return {
        "event": "start", "recipe": "digits", "parameters": 1, "train_samples": 1, "test_samples": 1, "steps": 2,
        "epochs": 1.0, "notes": [note],
        "environment": {"device": "cpu", "hardware": "x", "threads": 1, "precision": "fp32", "layout": "contiguous"},
    }  # fmt: skip


def test_the_live_display_shows_a_name_as_it_is_and_obeys_none() -> None:
    stream = io.StringIO()
    with Live(stream) as live:
        live(start_event("[red]x[/] :boom: \x1b]0;t\x07 left out"))
    assert r"[red]x[/] :boom: \x1b]0;t\x07 left out" in stream.getvalue()
    with Plain(plain := io.StringIO()) as subscriber:
        subscriber(start_event("two:\n  a\x1b[1m"))
    assert plain.getvalue().endswith("Note: two:\n  a\\x1b[1m\n")


def test_say_keeps_line_breaks_and_no_other_control() -> None:
    say("a\nb\x1b", "c", stream=(stream := io.StringIO()))
    assert stream.getvalue() == "a\nb\\x1b\nc\n"


def test_an_error_names_such_a_file_without_obeying_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "no\x1b[31m\udcff"]) == 1
    assert r"no\x1b[31m\udcff" in capsys.readouterr().err


def test_calibration_on_a_folder_of_such_names_has_a_digest_of_them(folder: Path, tmp_path: Path) -> None:
    val, train = (calibration_digest(str(folder / part), Preprocessing()) for part in ("val", "train"))
    assert len(val) == 8
    assert val != train


def test_a_page_of_figures_takes_data_of_such_a_name(tmp_path: Path) -> None:
    facts = Facts(
        command="<script>", date="2026-01-01", hardware="x", versions="y", data=NOT_UTF8, length="1 step", hours=0.0
    )
    write_page(tmp_path, EXPERIMENTS["depth-scaling"], [], facts)
    assert r"\udcff" in (tmp_path / "README.md").read_text("utf-8")
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["data"] == NOT_UTF8
    page = (tmp_path / "index.html").read_text("utf-8")
    assert r"\udcff" in page
    assert "<code>&lt;script&gt;</code>" in page


def test_notes_are_printed_unless_quiet_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        note("silent")
        with quiet():
            warnings.warn("silent too", UserWarning, stacklevel=1)
        note("silent still")
    note("first", "second")
    with contextlib.suppress(KeyError), quiet():
        raise KeyError
    note("third")
    assert capsys.readouterr() == ("", "Note: first\nNote: second\nNote: third\n")
