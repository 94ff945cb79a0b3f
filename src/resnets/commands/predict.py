"""`resnets predict`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.arguments import check_range, device_for
from resnets.commands.command import Answer, Command, Invocation
from resnets.core.console import printable, say
from resnets.core.errors import DataError, PredictionError, UsageError
from resnets.core.renamed import with_old_keys
from resnets.core.signatures import checked_arguments
from resnets.core.workers import MAX_WORKERS

if TYPE_CHECKING:
    from resnets.artifacts.model import ImageInput, Model, Ranking


@checked_arguments
def predict(
    model: str | Path | Model,
    /,
    *images: ImageInput,
    top: int = 5,
    device: str = "cpu",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | None = None,
    workers: int | None = None,
) -> list[Ranking]:
    """Predict the classes of images of any size.

    Args:
        model: a model file or a run folder.
        images: image files.
        top: number of classes to show.
        device: auto, cpu, cuda or mps.
        runtime: torch; or, on the CPU, folded (batch norm folded into the convolutions), compiled, openvino or
            onnxruntime. The converted model is cached beside the model file.
        precision: auto (bf16 where runtime and processor support it, else fp32), fp32, bf16 or int8.
        calibrate: images to calibrate int8 on: a folder or a dataset (default: the training data).
        workers: threads that decode images; the result does not depend on it (default: one for each usable core).

    Returns:
        For each image its `top` classes with their probabilities, the most probable first.

    Raises:
        PredictionError: if some images cannot be read; the exception has the predictions for all others.
    """
    check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.artifacts.model import Model, load

    if not images:
        raise UsageError("Give at least one image.")
    if not isinstance(model, Model):
        model = load(model, device_for(runtime, device), runtime=runtime, precision=precision, calibrate=calibrate)
    return model.predict_many(images, top, workers=workers)


def _answer(invocation: Invocation) -> Answer:
    given = invocation.arguments
    failed: Mapping[int, DataError] = {}
    rankings: Sequence[Ranking | None]
    try:
        rankings = invocation.call()
    except PredictionError as error:
        rankings, failed = error.predictions, error.failed
        if not given.json:
            say(*(f"resnets: {reason}" for reason in failed.values()), stream=sys.stderr)
    lines: list[str] = []
    predictions = []
    for name, ranking in zip(given.images, rankings, strict=True):
        if ranking is not None:
            lines += [printable(name), *(f"  {probability:7.2%}  {printable(kind)}" for kind, probability in ranking)]
            classes = [{"name": kind, "probability": probability} for kind, probability in ranking]
            predictions.append(with_old_keys({"input": name, "classes": classes}, image="input"))
    data = {
        "model": given.model,
        "task": "classification",
        "runtime": given.runtime,
        "predictions": predictions,
        "failed": [{"input": given.images[number], "error": str(reason)} for number, reason in failed.items()],
    }
    return Answer(lines, data, failed=bool(failed))


COMMAND = Command(predict, _answer)
