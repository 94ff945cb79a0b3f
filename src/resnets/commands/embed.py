"""`resnets embed`."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnets.commands.arguments import check_range, input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.given_inputs import call_on_inputs, open_layers
from resnets.commands.predictions import check_out, parquet_cell
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.files import explain, replacing
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.units import show_count
from resnets.core.workers import MAX_WORKERS

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
else:
    trained = LazyModule("resnets.artifacts.model")

FILES = (".npy", ".parquet")


@dataclass(frozen=True, repr=False)
class Embeddings:
    """The embeddings of N inputs. NumPy takes them as an array.

    Args:
        inputs: names or paths, in the order of the rows.
        values: (N, features) float32: the last feature map, pooled, as the classifier gets it; NaN where an input could
            not be read.
        failed: why, by the number of the input.
    """

    inputs: tuple[str, ...]
    values: NDArray[np.float32]
    failed: dict[int, DataError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype) if copy or dtype is not None else self.values

    def __repr__(self) -> str:
        return f"Embeddings({show_count(len(self), 'input')}, {self.values.shape[1]} features)"


@checked_arguments
@can_be_quiet
def embed(
    model: str | PathLike[str] | trained.Model,
    /,
    *images: Any,
    out: str | PathLike[str] | None = None,
    tta: str | None = None,
    size: int | tuple[int, int] | str | None = None,
    device: str = "cpu",
    workers: int | None = None,
    quiet: bool = False,
) -> Embeddings:
    """Give the features of images or recordings, for search, clustering or another classifier.

    Args:
        model: a model file or a run folder; in Python also a Run or a Model.
        images: what `predict` takes: files, folders of them, globs in quotes, or - for a list on standard input.
        out: a .npy file, with a row for each input in their order, NaN for one that cannot be read; or a .parquet file
            with the columns input and embedding, without these.
        tta: test-time augmentation over whose crops features are averaged (see evaluate; default: one crop).
        size: WIDTHxHEIGHT in pixels to which images are brought, or one number for a square; in Python also (height,
            width) (default: the model's own).
        device: auto, cpu, cuda or mps.
        workers: threads that decode images; the result does not depend on it (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        The embeddings: `embeddings.values` (N, features) and `embeddings.inputs`.

    Raises:
        PredictionError: if some inputs cannot be read; `error.predictions` has the embeddings of all others.
        DataError: if a folder or a glob has no inputs of the model.

    Example:
        resnets.embed(run, "photos/", out="photos.npy").values.shape  # (500, 512)
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    path = None if out is None else _checked_out(Path(out))
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.embeddings import embeddings

    loaded, inputs, total = open_layers(model, images, device, pixels)
    predictor = loaded.predictor(loaded.card.preprocessing.tta[0] if tta is None else tta)
    names: list[str] = []
    rows: list[NDArray[np.float32]] = []
    failed: dict[int, DataError] = {}
    nothing = np.full(loaded.spec.num_features, np.nan, np.float32)
    of_all = "" if total is None else f" of {total:,}"
    with threads_for(loaded.card, "torch"), progress_line() as line:
        for name, answer in embeddings(inputs, predictor, loaded.card, None, workers):
            if isinstance(answer, DataError):
                failed[len(rows)] = answer
            names.append(name)
            rows.append(nothing if isinstance(answer, DataError) else answer.float().cpu().numpy())
            line(f"embed  {len(rows):,}{of_all}")
    values = np.stack(rows) if rows else np.zeros((0, len(nothing)), np.float32)
    found = Embeddings(tuple(names), values, failed)
    if path is not None:
        _write(path, found)
    if failed:
        raise PredictionError(found, failed, names)  # type: ignore[arg-type]
    return found


def _checked_out(out: Path) -> Path:
    """Returns `out`. Raises UsageError where embeddings cannot be written to it, before anything is computed."""
    if out.suffix.lower() not in FILES:
        raise UsageError(f"Embeddings go to a .npy or a .parquet file, not to {out}.")
    if out.is_dir():
        raise UsageError(f"{out} is a folder: give --out another name.")
    if out.suffix.lower() == ".parquet":
        check_out(out)
    return out


def _write(out: Path, found: Embeddings) -> None:
    """Writes embeddings to a file, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    try:
        with replacing(out) as temporary:
            if out.suffix.lower() == ".npy":
                with open(temporary, "wb") as file:
                    np.save(file, found.values)
                return
            import pyarrow
            import pyarrow.parquet

            kept = [number for number in range(len(found)) if number not in found.failed]
            columns = {"input": [parquet_cell(found.inputs[n]) for n in kept], "embedding": list(found.values[kept])}
            pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    except OSError as error:
        raise explain("write", out, error) from error


def _answer(invocation: Invocation) -> Answer:
    given = invocation.arguments
    if given.out is None and not given.json:
        raise UsageError("Say where the embeddings go: --out FILE.npy or FILE.parquet; or print them by --json.")
    found, failed = call_on_inputs(invocation)
    data = {
        "model": given.model,
        "features": found.values.shape[1],
        "inputs": found.inputs,
        **({"embeddings": found.values.tolist()} if given.out is None else {"out": given.out}),
        "failed": failed,
    }
    lines = [f"{show_count(len(found), 'embedding')} of {found.values.shape[1]} features: {given.out}"]
    return Answer(lines, data, failed=bool(failed))


COMMAND = Command(embed, _answer, python_only=("quiet",))
