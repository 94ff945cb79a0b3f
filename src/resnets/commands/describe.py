"""`resnets describe`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from resnets.commands.arguments import check_range, find_spec, is_trained
from resnets.commands.command import Answer, Command, Invocation
from resnets.core import display
from resnets.core.console import printable
from resnets.core.errors import UsageError
from resnets.core.renamed import with_old_keys
from resnets.core.signatures import checked_arguments
from resnets.core.units import parse_bytes, parse_size, show_bytes, show_count, show_size
from resnets.modalities.image.preprocessing import MAX_SIZE
from resnets.models import counts
from resnets.models import memory as planner
from resnets.models.counts import InputSize
from resnets.models.memory import BytesPerElement, Segments, StepMemory
from resnets.models.spec import Spec
from resnets.training.recipe import MAX_BATCH


@dataclass(frozen=True, repr=False)
class Description:
    """What `describe` returns. A notebook shows it with a table of the layers.

    Args:
        size: of the input in pixels: one number, or (height, width) where they differ.
        input_shape: of one sample, (channels, height, width) of an image.
        parameters, multiply_adds: of all layers; an auxiliary head is only used in training.
        layers: from input to output.
        weights_sha256: of a model file: SHA-256 over the entries in key order, each as name, dtype, shape and bytes.
        card: of a model file: task, preprocessing, recipe, environment, metrics and version.
        memory: of a training step, where it was asked for.
        recomputed: blocks that the step recomputes in the backward pass, as lengths of segments by stage; see
            `models.memory`.
    """

    name: str
    spec: Spec
    size: InputSize
    input_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    layers: tuple[counts.Layer, ...]
    classes: tuple[str, ...] | None = None
    weights_sha256: str | None = None
    card: dict[str, Any] | None = None
    memory: StepMemory | None = None
    recomputed: Segments = field(default_factory=dict)

    def __repr__(self) -> str:
        counted = f"{self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds"
        return f"Description({self.name!r}, {counted} at {show_size(self.size)} px)"

    def _repr_html_(self) -> str:
        rows = {
            "parameters": f"{self.parameters:,}",
            "multiply-adds": f"{self.multiply_adds:,} at {show_size(self.size)} px",
        }
        if self.classes:
            rows["classes"] = display.names(self.classes)
        if self.memory is not None:
            rows["memory of a step"] = show_bytes(self.memory.peak)
        layers = [
            (each.name, each.kind, " x ".join(map(str, each.shape)), f"{each.parameters:,}", f"{each.multiply_adds:,}")
            for each in self.layers
        ]
        heading = ("layer", "kind", "output", "parameters", "multiply-adds")
        listed = display.table(heading, layers, show_count(len(layers), "layer"), most=200)
        return display.facts(self.name, rows, None, listed)


@checked_arguments
def describe(
    model: str | PathLike[str] | Spec,
    /,
    *,
    size: int | tuple[int, int] | str | None = None,
    batch: int | None = None,
    train: bool = False,
    memory_limit: str | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Description:
    """Show layers, shapes, parameters and multiply-adds of a model, and the memory of a training step.

    Args:
        model: a name from `resnets models`, a model file, a run folder, or a JSON file with a spec; in Python also a
            Run or a Spec.
        size: WIDTHxHEIGHT of the input in pixels, or one number for both; in Python also (height, width) (default: the
            model file's, else 224, or 32 for a CIFAR stem).
        batch: batch size of the training step; needs --train.
        train: also predict the memory of a training step with momentum, beyond what the program itself takes; needs
            --batch.
        memory_limit: such as 2GiB, for the training step; blocks are recomputed in the backward pass (activation
            checkpointing) to keep within it.
        precision: fp32 or bf16, of the training step.

    Returns:
        The description: `parameters`, `multiply_adds` and `layers`, and of a model file what it says of itself.

    Raises:
        UsageError: if there is no such model, or the step does not fit into the limit.
        FileError: if a model file is damaged.

    Example:
        resnets.describe("resnet50").parameters  # 25557032
        resnets.describe(run).classes
    """
    if train != (batch is not None) or (memory_limit is not None and not train):
        raise UsageError("The memory of a training step needs --batch and --train together.")
    check_range("batch", batch, 1, MAX_BATCH)
    pixels = None if size is None else parse_size(size)
    for side in (pixels,) if pixels is None or isinstance(pixels, int) else pixels:
        check_range("size", side, 1, MAX_SIZE)
    found = _described_file(str(model), pixels) if is_trained(model) else _described_spec(model, pixels)
    if batch is None:
        return found
    numbers = BytesPerElement(activation=2 if precision == "bf16" else 4)
    segments: Segments = {}
    if memory_limit is not None:
        segments = planner.fit(found.spec, found.size, batch, parse_bytes(memory_limit), numbers=numbers)
    memory = planner.predict(found.spec, found.size, batch, numbers=numbers, segments=segments)
    return dataclasses.replace(found, memory=memory, recomputed=segments)


def _described_spec(model: str | PathLike[str] | Spec, size: InputSize | None) -> Description:
    if isinstance(model, Spec):
        return _described("spec", model, model.usual_size if size is None else size)
    spec = find_spec(str(model))
    return _described(str(model), spec, spec.usual_size if size is None else size)


def _described_file(name: str, size: InputSize | None) -> Description:
    from resnets.artifacts.model import load
    from resnets.artifacts.model_file import weights_sha256
    from resnets.core.config import encode

    model = load(name)
    card = model.card
    return dataclasses.replace(
        _described(name, card.spec, card.preprocessing.shape() if size is None else size),
        classes=model.classes,
        weights_sha256=weights_sha256(model.network.state_dict()),
        card={
            "task": card.task,
            "preprocessing": encode(card.preprocessing),
            "recipe": card.recipe,
            "environment": card.environment,
            "metrics": card.metrics,
            "version": card.version,
        },
    )


def _described(name: str, spec: Spec, size: InputSize) -> Description:
    sides = counts.sides(spec, size)
    if len(set(sides)) == 1:
        size = sides[0]
    layers = tuple(counts.layers(spec, size))
    return Description(
        name=name,
        spec=spec,
        size=size,
        input_shape=(spec.channels, *sides),
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        layers=layers,
    )


def _answer(invocation: Invocation) -> Answer:
    found: Description = invocation.call()
    lines = [f"{'layer':26} {'kind':26} {'output':>16} {'parameters':>12} {'multiply-adds':>15}"]
    lines += [
        f"{layer.name:26} {layer.kind:26} {' x '.join(map(str, layer.shape)):>16} "
        f"{layer.parameters:12,} {layer.multiply_adds:15,}"
        for layer in found.layers
    ]
    lines.append(
        f"{'all':26} {f'at {show_size(found.size)} px':26} {'':>16} {found.parameters:12,} {found.multiply_adds:15,}"
    )
    if found.memory is not None:
        lines += _memory_lines(found.memory, found.recomputed)
    if found.classes:
        lines.append(
            f"classes  {', '.join(map(printable, found.classes[:20]))}{' ...' if len(found.classes) > 20 else ''}"
        )
    if found.weights_sha256:
        lines.append(f"weights  sha256 {found.weights_sha256}")
    return Answer(lines, _as_json(found))


def _memory_lines(memory: StepMemory, recomputed: Segments) -> list[str]:
    lines = [f"{name:10} {show_bytes(taken):>12}" for name, taken in vars(memory).items() if name != "program"]
    blocks = show_count(sum(map(sum, recomputed.values())), "block")
    lines.append(f"{'peak':10} {show_bytes(memory.peak):>12}  without the program itself; {blocks} recomputed")
    return lines


def _as_json(found: Description) -> dict[str, Any]:
    data = dataclasses.asdict(found) | (found.card or {})
    del data["card"]
    if found.memory is not None:
        data["memory"] = with_old_keys(data["memory"], pictures="images")
        data["peak_memory_bytes"] = found.memory.peak
    return {"stage_channels": found.spec.stage_channels, "stage_strides": found.spec.stage_strides, **data}


COMMAND = Command(describe, _answer)
