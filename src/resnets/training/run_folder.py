"""The folder of a run: recipe.json, log.jsonl, model.safetensors, report.html."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from resnets.artifacts.model_file import MODEL_NAME
from resnets.errors import FileError, UsageError
from resnets.files import explain, read_json, write_json
from resnets.frozen import decode, encode
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe

FORMAT = 1
Event = dict[str, Any]
Listener = Callable[[Event], None]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def model(self) -> Path:
        return self.path / MODEL_NAME

    @property
    def report(self) -> Path:
        return self.path / "report.html"


def write_recipe(path: Path, recipe: Recipe, environment: Environment) -> None:
    """Writes `recipe`, and what it runs on, as JSON."""
    write_json(path, {"format": FORMAT, "recipe": encode(recipe), "environment": encode(environment)})


def read_recipe(path: Path) -> tuple[Recipe, Environment]:
    """What `write_recipe` wrote.

    Raises:
        FileError: it is missing, damaged, or of another version.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} is no recipe of format {FORMAT}; read it with the version of resnets that wrote it.")
    try:
        recipe = decode(Recipe, data.get("recipe"), "recipe")
        return recipe, decode(Environment, data.get("environment"), "environment")
    except UsageError as error:
        raise FileError(f"{path} is damaged: {error}") from error


def new_run_folder(out: str | Path | None, name: str) -> RunFolder:
    """A folder, not made yet, for a new run: `out`, or the first free one of runs/name, runs/name-2, ...

    Raises:
        UsageError: `out` already holds something.
    """
    if out is None:
        plain = Path("runs") / name.replace("/", "-")
        numbered = (plain.with_name(f"{plain.name}-{i}") for i in range(2, 10**6))
        path = plain if not plain.exists() else next(p for p in numbered if not p.exists())
    else:
        path = Path(out)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{path} already exists. Give another --out, or remove it.")
    return RunFolder(path)


class Log:
    """Appends events to `log.jsonl`, a line each, at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: TextIO = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise explain("write", path, error) from error

    def __call__(self, event: Event) -> None:
        try:
            self._file.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise explain("write", self.path, error) from error

    def close(self) -> None:
        self._file.close()


def read_log(path: Path) -> list[Event]:
    """The events in a log; a last line that was cut off is left out.

    Raises:
        FileError: it cannot be read, or a line before the last is no event.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise explain("read", path, error) from error
    events: list[Event] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise FileError(f"{path} is damaged: line {number} is no event.")
        events.append(event)
    return events
