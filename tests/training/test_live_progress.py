"""The live progress on a terminal, as its screen shows it: lines above, one bar below, of any width."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.training.live_progress import Live
from tests.training.runs import make_images
from tests.training.test_progress import start


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str, width: int) -> list[str]:
    """The rows of a terminal, as far as rich uses one: colours, cursor up, clear line, and lines that wrap."""
    rows, row, column = [[" "] * width], 0, 0
    for code, text in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|([\s\S])", written):
        if code == "2K":
            rows[row] = [" "] * width
        elif code.endswith("A"):
            row -= int(code[:-1] or 1)
        elif text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
        elif text:
            if column == width:
                row, column = row + 1, 0
            while row >= len(rows):
                rows.append([" "] * width)
            rows[row][column] = text
            column += 1
        while row >= len(rows):
            rows.append([" "] * width)
    return [each for each in ("".join(letters).rstrip() for letters in rows) if each]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the width, and returns what is written to."""

    def of(width: int) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm-256color")
        return Terminal()

    return of


def events(evaluations: int = 5) -> list[dict[str, Any]]:
    found = [start(split="val", steps=20 * evaluations, epochs=float(evaluations))]
    for epoch in range(1, evaluations + 1):
        found += [
            {"event": "step", "step": 20 * epoch, "epoch": float(epoch), "loss": 1 / epoch, "lr": 0.1,
             "images_per_second": 1234.0},
            {"event": "evaluation", "step": 20 * epoch, "epoch": float(epoch), "loss": 2 / epoch,
             "accuracy": 0.1 * epoch, "split": "val"},
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_evaluations_stay_above_one_bar_at_any_width(width: int, terminal: Any) -> None:
    stream = terminal(width)
    with Live(stream) as live:
        for number, event in enumerate(events()):
            live(event)
            live._progress.refresh()
            shown = screen(stream.getvalue(), width)
            bars = [row for row in shown if "%" in row and "━" in row]
            assert bars == shown[-1:], f"after event {number}: {shown}"
    lines = [row for row in screen(stream.getvalue(), width) if "val accuracy" in row]
    assert len(lines) == 5
    assert [re.sub(r"\s+", " ", row).partition(" val accuracy ")[2].split()[0] for row in lines] == [
        f"{10 * epoch}.00%" for epoch in range(1, 6)
    ]  # fmt: skip
    bar = screen(stream.getvalue(), width)[-1]
    assert bar.startswith("epoch 5.0 ━")
    assert "100%" in bar
    assert "loss 0.2000" in bar
    assert ("1,234 images/s" in bar) == (width >= 70)
    assert bar.count("━") >= 8


@pytest.mark.parametrize("width", [50, 80])
def test_what_is_not_known_yet_is_not_shown(width: int, terminal: Any) -> None:
    stream = terminal(width)
    with Live(stream) as live:
        live(start(split="val"))
        live._progress.refresh()
        assert "nan" not in stream.getvalue()
        assert "loss" not in stream.getvalue()
        live({"event": "evaluation", "step": 0, "epoch": 0.0, "loss": 2.5, "accuracy": 0.1, "split": "val"})
        live._progress.refresh()
    assert "nan" not in stream.getvalue()
    assert "10.00%" in stream.getvalue()


def test_a_run_on_a_narrow_terminal_shows_no_nan(tmp_path: Path, terminal: Any) -> None:
    data, stream = make_images(tmp_path / "data", train=8, val=4), terminal(50)
    small = ("model.depths=[1]", "model.widths=[16]", "preprocessing.resize=16", "preprocessing.crop=16", "batch=8")
    with Live(stream) as live:
        resnets.train("paper/cifar", *small, data=data, epochs=2, device="cpu", out=tmp_path / "r", subscribers=(live,))
    shown = screen(stream.getvalue(), 50)
    assert "nan" not in stream.getvalue().replace("nanoseconds", "")
    assert len([row for row in shown if row.startswith("epoch") and "val accuracy" in row]) == 2
    assert "━" in shown[-1]
    assert all("━" not in row for row in shown[:-1])
