"""`resnets explain`."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from resnets.commands.arguments import input_size, threads_for
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.given_inputs import call_on_inputs, open_layers
from resnets.commands.predictions import file_names
from resnets.core.console import printable
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.files import write_bytes, write_json
from resnets.core.lazy import LazyModule
from resnets.core.progress import progress_line
from resnets.core.signatures import checked_arguments

if TYPE_CHECKING:
    from resnets.artifacts import model as trained
    from resnets.artifacts.explanation import Explanation
    from resnets.artifacts.model import Model
else:
    trained = LazyModule("resnets.artifacts.model")

OPACITY = 0.5  # of the heat map over the image
UNSEEN = 0.35  # brightness of what the network does not see
SHOWN = 3  # classes below an image


@checked_arguments
@can_be_quiet
def explain(
    model: str | PathLike[str] | trained.Model,
    /,
    *images: Any,
    out: str | PathLike[str],
    target: str | None = None,
    stage: str | None = None,
    size: int | tuple[int, int] | str | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> list[dict[str, Any] | None]:
    """Show where in images a classifier sees a class (Grad-CAM).

    Args:
        model: a model file or a run folder; in Python also a Run or a Model.
        images: what `predict` takes: files, folders of them, globs in quotes, or - for a list on standard input.
        out: folder for a drawing of each image (NAME.explained.jpg), its heat map at the size of the upright image
            (NAME.heat.png, grey, from 0 to 255), and explanations.json.
        target: the class that is explained (default: the most probable one of each image).
        stage: whose feature map it is, such as C4; earlier ones are finer and say less of the class (default:
            the last).
        size: WIDTHxHEIGHT in pixels to which images are brought, or one number for a square; in Python also (height,
            width) (default: the model's own).
        device: auto, cpu, cuda or mps.
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        For each image what explanations.json has of it: its name, the class that is explained, the classes with their
        probabilities, the part of the image that the network sees, and the names of the files. `Model.explain` gives
        heat maps as arrays.

    Raises:
        PredictionError: if some images cannot be read; `error.predictions` has the explanations of all others.
        UsageError: if the model is no classifier of images, or has no such class or stage.
        FileError: if a file cannot be written.

    Example:
        resnets.explain(run, "seven.png", target="1", out="seen")
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: explanations go into a folder.")
    pixels = None if size is None else input_size(size)
    from resnets.artifacts.explanation import explanations

    loaded, inputs, _ = open_layers(model, images, device, pixels)
    given, predictor = list(inputs), loaded.predictor(loaded.card.preprocessing.tta[0])
    names = file_names([each.name for each in given])
    found: list[dict[str, Any] | None] = []
    failed: dict[int, DataError] = {}
    with threads_for(loaded.card, "torch"), progress_line() as line:
        for number, (name, answer) in enumerate(explanations(given, predictor, loaded.card, target, stage)):
            line(f"explain  {number + 1:,} of {len(given):,}")
            if isinstance(answer, DataError):
                failed[number] = answer
                found.append(None)
            else:
                found.append({"input": name, **_written(folder, names[number], answer, loaded)})
    write_json(folder / "explanations.json", {"explanations": [each for each in found if each is not None]})
    if failed:
        raise PredictionError(found, failed, [each.name for each in given])
    return found


def _written(folder: Path, name: str, explanation: Explanation, model: Model) -> dict[str, Any]:
    """Writes the files of an explanation; returns what is said of it.

    Raises:
        FileError: one cannot be written.
    """
    from resnets.tasks.captions import write_captioned

    said = model.task.answer_json(explanation.answer, model.classes)
    by_class = {each["name"]: each["probability"] for each in said.get("classes", ())}  # none of a regression
    probability = by_class.get(explanation.target)
    lines = [f"{_percent(probability)}{printable(explanation.target)}, where it is seen"]
    lines += [
        f"{_percent(value)}{printable(name)}"
        for name, value in list(by_class.items())[:SHOWN]
        if name != explanation.target
    ]
    files = {"drawn": f"{name}.explained.jpg", "heat": f"{name}.heat.png"}
    write_captioned(folder / files["drawn"], drawing(explanation), lines)
    grey = io.BytesIO()
    Image.fromarray((explanation.heat * 255 + 0.5).astype(np.uint8)).save(grey, "PNG")
    write_bytes(folder / files["heat"], grey.getvalue())
    return {"target": explanation.target, "probability": probability, "seen": explanation.seen, **said, **files}


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:7.2%}  "


def drawing(explanation: Explanation) -> Image.Image:
    """The image below its heat map, from blue to red; what the network does not see is dark."""
    from matplotlib import colormaps

    pixels = np.asarray(explanation.image.convert("RGB"), np.float32) / 255
    colors = colormaps["turbo"](explanation.heat)[..., :3].astype(np.float32)
    drawn = (1 - OPACITY) * pixels + OPACITY * colors
    left, top, right, bottom = (round(each) for each in explanation.seen)
    seen = np.zeros(explanation.heat.shape, bool)
    seen[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return Image.fromarray((np.where(seen[..., None], drawn, UNSEEN * pixels) * 255 + 0.5).astype(np.uint8))


def _answer(invocation: Invocation) -> Answer:
    given = invocation.arguments
    found, failed = call_on_inputs(invocation)
    explained = [each for each in found if each is not None]
    lines = [
        f"{printable(each['input'])}: {_percent(each['probability'])}{printable(each['target'])}" for each in explained
    ]
    data = {"model": given.model, "out": given.out, "explanations": explained, "failed": failed}
    return Answer([*lines, f"drawings  {given.out}"], data, failed=bool(failed))


COMMAND = Command(explain, _answer, python_only=("quiet",))
