"""The answers of `predict` as JSON and as files."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.core.errors import DataError, UsageError
from resnets.core.renamed import with_old_keys

if TYPE_CHECKING:
    from resnets.artifacts.model_file import ModelCard

FILES = (".csv", ".json", ".parquet")


@dataclass(frozen=True)
class Answers:
    """What a model answers to some inputs.

    Args:
        inputs: their names; or, where files are written for each, the inputs themselves, such as paths, or `Given`.
        answers: of the model's task, one for each input; None for those that failed.
        failed: why an input could not be read, by its number.
        files: the names of the files of an answer by key of the prediction, by number of the input.
        size: of the inputs in pixels, one number or (height, width), where it is not the model's own.
    """

    card: ModelCard
    inputs: Sequence[Any]
    answers: Sequence[Any]
    failed: Mapping[int, DataError] = field(default_factory=dict)
    files: dict[int, dict[str, str]] = field(default_factory=dict)
    size: int | tuple[int, int] | None = None

    def predictions(self) -> list[dict[str, Any]]:
        """The predictions of `predict --json`, without those that failed."""
        from resnets.tasks.catalog import open_task

        task, found = open_task(self.card.settings), []
        for number, (given, answer) in enumerate(zip(self.inputs, self.answers, strict=True)):
            if number in self.failed:
                continue
            said = task.answer_json(answer, self.card.classes)
            prediction = {"input": name_of(given), **said, **self.files.get(number, {})}
            # The name of version 0.2 stands beside the new one where it had such a model.
            found.append(with_old_keys(prediction, image="input") if self.card.has_old_names else prediction)
        return found

    def data(self, model: str, runtime: str) -> dict[str, Any]:
        """The object of `predict --json`."""
        return {
            "model": model,
            "task": self.card.task,
            "runtime": runtime,
            **({} if self.size is None else {"size": self.size}),
            "predictions": self.predictions(),
            "failed": [{"input": name_of(self.inputs[n]), "error": str(why)} for n, why in self.failed.items()],
        }

    def lines(self) -> list[str]:
        """What `predict` prints: the name of each input, and the answer below it."""
        from resnets.core.console import printable
        from resnets.tasks.catalog import open_task

        task, lines = open_task(self.card.settings), []
        for number, (given, answer) in enumerate(zip(self.inputs, self.answers, strict=True)):
            if number not in self.failed:
                lines += [printable(name_of(given)), *task.answer_lines(answer, self.card.classes)]
        return lines

    def summary(self, out: str | os.PathLike[str]) -> str:
        """What `predict` prints where the answers are written to `out`."""
        from resnets.core.console import printable

        count = len(self.answers) - len(self.failed)
        return f"answers {printable(os.fsdecode(out))}: {count:,} {'input' if count == 1 else 'inputs'}"

    def write(self, out: Path, model: str, runtime: str) -> None:
        """Writes the answers to `out`: a file of one of `FILES`, or else a folder.

        A folder gets predictions.json and the files of the answers, such as masks and coco.json.

        Raises:
            FileError: it cannot be written.
        """
        from resnets.core.files import write_json

        file = answers_file(out)
        if file == out:
            write_file(out, self.predictions(), self.data(model, runtime))
        else:
            self._write_files(out)
            write_json(file, self.data(model, runtime))

    def _write_files(self, folder: Path) -> None:
        from resnets.core.files import explain
        from resnets.modalities.inputs import dataset_of, open_reader
        from resnets.tasks.catalog import open_task

        card = self.card
        task, reader = open_task(card.settings), open_reader(card.preprocessing)
        dataset, names = dataset_of(card.preprocessing, self.inputs), file_names(self.inputs)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number, answer in enumerate(self.answers):
                if number not in self.failed:
                    image = reader.thumbnail(dataset, number)
                    written = task.write_answer(answer, folder, names[number], image, card.classes)
                    self.files[number] = dict(written)
            answered = [
                (name_of(given), answer)
                for number, (given, answer) in enumerate(zip(self.inputs, self.answers, strict=True))
                if number not in self.failed
            ]
            write_json_files(folder, task.answer_files(answered, card.classes))
        except OSError as error:
            raise explain("write", folder, error) from error


def answers_file(out: Path) -> Path:
    """The file of all answers that are written to `out`: `out` itself, or one in the folder that it is."""
    return out if out.suffix.lower() in FILES else out / "predictions.json"


def write_file(out: Path, answers: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> None:
    """Writes `answers` to a .csv or .parquet file, see `table`, or `data`, which has them, to a .json file.

    Raises:
        FileError: it cannot be written.
    """
    from resnets.core.files import write_csv, write_json

    ending = out.suffix.lower()
    if ending == ".csv":
        columns, rows = table(answers)
        write_csv(out, [columns, *(tuple("" if cell is None else cell for cell in row) for row in rows)])
    elif ending == ".parquet":
        _write_parquet(out, *table(answers))
    else:
        write_json(out, data)


def write_json_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Writes what `Task.answer_files` or `Task.record_files` gives, compact as programs read it.

    Raises:
        FileError: one cannot be written.
    """
    from resnets.core.files import to_json, write_bytes

    for name, value in files.items():
        write_bytes(folder / name, to_json(value).encode())


def check_out(out: Path | None) -> None:
    """Raises UsageError if answers cannot be written to `out`, before anything is computed."""
    if out is None:
        return
    ending = out.suffix.lower()
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        from resnets.core.installation import install_command

        raise UsageError(
            "Writing .parquet needs pyarrow, which is not installed. Give a .csv, or install it: "
            f"{install_command('pyarrow')}"
        )
    if ending in FILES and out.is_dir():
        raise UsageError(f"{out} is a folder: give --out another name, or a folder without such an ending.")
    if ending not in FILES and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: answers go to a .csv, .json or .parquet file, or into a folder.")


def name_of(given: Any) -> str:
    """What answers call an input: its name or path, or what it is where it is none."""
    if isinstance(given, str | os.PathLike):
        return os.fsdecode(given)
    return str(getattr(given, "name", f"<{type(given).__name__}>"))  # of `Given`


def file_names(inputs: Sequence[Any]) -> list[str]:
    """For each input the name of its files, without an ending, no two alike.

    It is the input's own name without its ending. Equal ones get the folder's name before them, then those of the
    folders above it, and, if they are still equal, their number.
    """
    paths = [Path(os.path.splitext(name_of(given))[0]) for given in inputs]
    parts = [path.relative_to(path.anchor).parts for path in paths]
    names = [each[-1] if each else "input" for each in parts]
    for depth in range(2, 1 + max(map(len, parts), default=0)):
        repeated = _repeated(names)
        if not repeated:
            break
        names = ["_".join(each[-depth:]) if name in repeated else name for name, each in zip(names, parts, strict=True)]
    repeated = _repeated(names)
    taken = set(names)
    for number, name in enumerate(names):
        if name in repeated:
            count = number + 1
            while (new := f"{name}_{count}") in taken:
                count += 1
            taken.add(new)
            names[number] = new
    return names


def _repeated(names: Iterable[str]) -> set[str]:
    """The names that occur several times on a file system that ignores case."""
    counts = Counter(name.lower() for name in names)
    return {name for name in names if counts[name.lower()] > 1}


def table(predictions: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns of predictions, and a row for each; of boxes a row for each box, and one of an image without any.

    A list of classes becomes columns of their own, numbered by their place: "class_1", "probability_1" and so on. Cells
    that a prediction lacks are None.
    """
    flat = [row for each in predictions for row in (_by_box(each) if "boxes" in each else [_flat(each)])]
    columns = tuple(dict.fromkeys(name for row in flat for name in row)) or ("input",)
    return columns, [tuple(row.get(name) for name in columns) for row in flat]


def _flat(prediction: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in prediction.items():
        if key == "image":  # the old name of `input`
            continue
        if not isinstance(value, list):
            row[key] = value
            continue
        for place, entry in enumerate(value, start=1):
            row |= {f"{'class' if name == 'name' else name}_{place}": _cell(each) for name, each in entry.items()}
    return row


def _by_box(prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
    rest = {"input": prediction["input"]}
    return [
        {
            **rest,
            "class": box["name"],
            "score": box["score"],
            **dict(zip(("x1", "y1", "x2", "y2"), box["box"], strict=True)),
            **({"mask": _cell(box["mask"])} if "mask" in box else {}),
        }
        for box in prediction["boxes"]
    ] or [rest]


def _cell(value: Any) -> Any:
    """A value as one cell: JSON of what has several."""
    from resnets.core.files import to_json

    return to_json(value) if isinstance(value, list | dict) else value


def parquet_cell(value: Any) -> Any:
    """A value as Parquet takes it: of names that are not UTF-8, such as those of old files, the other bytes as \\x."""
    if not isinstance(value, str):
        return value
    return os.fsencode(value).decode(errors="backslashreplace")


def _write_parquet(out: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    from resnets.core.files import replacing

    values = {name: [parquet_cell(row[place]) for row in rows] for place, name in enumerate(columns)}
    with replacing(out) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(values), temporary)
