"""Runs of `resnets` on the command line for `photographs.py`, and the file of their results, by which it goes on."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from resnets.training import environment
from trees import ROOT, git

Line = dict[str, Any]
OF_THRESHOLDS = ("unknown_below", "coverage", "answered_accuracy")
BUSY = """
import time
while True:
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
    time.sleep(0.05)
"""


class Lines:
    """The results in a file, a JSON object a line, each appended as it comes.

    Each has a key, which no other has, and with the result the date, the command, the commit and the machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._here = {
            "commit": git("rev-parse", "HEAD").decode().strip(),
            "differs_from_commit": bool(git("status", "--porcelain", "src").strip()),
            "hardware": environment.choose("auto").hardware,
            "torch": torch.__version__,
        }

    def all(self) -> dict[str, Line]:
        """The results by key; an incomplete last line, of a script that was stopped, is left out."""
        if not self.path.exists():
            return {}
        found = {}
        for text in self.path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                found[line["key"]] = line
        return found

    def __contains__(self, key: str) -> bool:
        return key in self.all()

    def add(self, key: str, command: Sequence[object], found: Line) -> None:
        line = {
            "key": key,
            "date": datetime.datetime.now().isoformat(timespec="seconds"),
            "command": shlex.join(map(shown, command)),
            **self._here,
            **found,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self.path.read_bytes() if self.path.exists() else b""
        with open(self.path, "ab") as file:
            file.write((b"" if before.endswith(b"\n") or not before else b"\n") + json.dumps(line).encode() + b"\n")
        print(f"{key}: {json.dumps(found)}", flush=True)


def shown(argument: object) -> str:
    """An argument without the folders of this machine: paths from the root of the tree, else their last name."""
    path = Path(str(argument))
    if not path.is_absolute():
        return str(argument)
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT.parent) else path.name


def call(*arguments: object, timeout: float | None = None) -> tuple[Line, float]:
    """The JSON that a `resnets` process of this tree prints, and the seconds that it took.

    Raises:
        SystemExit: it failed; the message is the end of its standard error.
    """
    process, began = start(*arguments), time.monotonic()
    out, err = process.communicate(timeout=timeout)
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{shlex.join(map(str, process.args))}\n{err[-3000:]}")  # type: ignore[arg-type]
    return json.loads(out), seconds


def start(*arguments: object) -> subprocess.Popen[str]:
    """A `resnets` process of this tree, its output piped."""
    command = [sys.executable, "-m", "resnets", *map(str, arguments)]
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )


def train(lines: Lines, key: str, out: Path, *arguments: object, **facts: Any) -> Line:
    """Trains into the folder `out`, goes on where a run was stopped, and adds its result; returns that of `key`."""
    if key in lines:
        return lines.all()[key]
    command = ["resnets", "train", *arguments, "--out", out]
    began = (out / "recipe.json").exists()
    found, seconds = call("resume", out, "--json") if began else call(*command[1:], "--json")
    scores = found.get("test") or found
    kept = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "auc", "samples", *OF_THRESHOLDS)
    result = {**{name: scores[name] for name in kept if name in scores}, **what_was_done(out), **facts}
    lines.add(key, command, {**result, "seconds": seconds, "resumed": began})
    return lines.all()[key]


def what_was_done(run: Path) -> Line:
    """What the log and the plan of a run say: its length, its settings, its last learning rate."""
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    recipe = json.loads((run / "recipe.json").read_text())["recipe"]
    rates = [event["lr"] for event in steps if event.get("lr") is not None]
    return {
        "steps": steps[-1]["step"],
        "epochs": steps[-1]["epoch"],
        "recipe": recipe["name"],
        "size": recipe["preprocessing"].get("crop"),
        "batch": recipe["batch"],
        "lr": recipe["optimizer"]["lr"],
        "highest_rate": max(rates),
        "last_rate": rates[-1],
        "replanned": max(0, sum(event["event"] == "plan" for event in events) - 1),
    }


@contextlib.contextmanager
def busy_half_of_the_time(wanted: bool = True) -> Iterator[None]:
    """Context manager with a process beside that takes a core for half of the time."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def killed_and_resumed(out: Path, after: float, *arguments: object) -> tuple[float, float]:
    """Trains, is killed after so many seconds (and a checkpoint), and is resumed; returns the seconds of both.

    Raises:
        SystemExit: the run had ended by then, or failed.
    """
    process, began = start("train", *arguments, "--out", out, "--json"), time.monotonic()
    while process.poll() is None:
        if time.monotonic() - began >= after and any((out / "checkpoint").glob("*.safetensors")):
            break
        time.sleep(0.1)
    else:
        raise SystemExit(f"The run ended before it was killed.\n{process.communicate()[1][-3000:]}")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = time.monotonic() - began
    return first, call("resume", out, "--json")[1]
