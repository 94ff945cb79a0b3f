"""The model file: one `.safetensors` with the weights and a description of the model.

Its metadata has, as JSON under the key "resnets": format version, library version, task, spec, class names,
preprocessing, recipe, environment and metrics. Nothing in it is ever executed. The key "format" has "pt", as in files
of Hugging Face: accelerate and transformers refuse weights without it. Older files have none, and load all the same.

Format 2 has the settings of the task too, and any task, input and head. A file has the lowest format that can say what
it holds: format 1 is a classifier of square images, which versions 0.1 and 0.2 read as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST, decode, encode
from resnets.core.display import names
from resnets.core.errors import FileError, UsageError
from resnets.core.files import explain, parse_json, to_json, write_bytes
from resnets.core.typed import dataclasses_in
from resnets.core.units import show_count
from resnets.modalities.inputs import AnyInput
from resnets.models import counts
from resnets.models.spec import Spec
from resnets.tasks.catalog import SETTINGS, AnyTask
from resnets.version import __version__

KEY = "resnets"
FORMAT = 2  # the highest
MODEL_NAME = "model.safetensors"
# Bytes of the header and number of tensors, so that a hostile file is refused at once; the deepest spec has 36,000.
MOST_HEADER, MOST_TENSORS = 32 * 2**20, 50_000
_FIRST_TASK: Callable[[], AnyTask] = SETTINGS[0]
_FIRST_INPUT = dataclasses_in(AnyInput)[0]
_LATER = {"fit", "fill"}  # settings of the first input that format 1 does not know
# Choices of a spec that format 1 knows, of those that have got more.
_OF_FORMAT_1 = {
    "norm": ("batch", "group", "none"),
    "gate": ("none", "se"),
    "stem": ("imagenet", "deep", "cifar", "whitened"),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelCard:
    """What a model file has besides the weights.

    Args:
        spec: the architecture.
        classes: names in the order of the logits.
        preprocessing: from a sample, such as an image, to the network's input.
        settings: of the task.
        version: of the library that wrote the file.
        recipe, environment: what the model was trained with, as JSON; empty if it is not known.
        metrics: of the evaluation after training, as JSON.

    Raises:
        UsageError: classes, channels, spec and settings contradict one another.
    """

    spec: Spec
    classes: tuple[str, ...]
    preprocessing: AnyInput
    settings: AnyTask = field(default_factory=_FIRST_TASK)
    version: str = __version__
    recipe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.spec.classes:
            raise UsageError("a network with 0 classes has no classifier, and a model file is of one that answers.")
        if len(self.classes) != self.spec.classes:
            raise UsageError(f"there are {len(self.classes)} class names for {self.spec.classes} classes.")
        if self.preprocessing.channels != self.spec.channels:
            raise UsageError(
                f"preprocessing gives {self.preprocessing.channels} channels, and the network takes "
                f"{self.spec.channels}."
            )
        if self.settings.model_for(self.spec, len(self.classes)) != self.spec:
            raise UsageError(f"the network does not fit the task {self.task}: its head is {self.spec.head}.")

    def __repr__(self) -> str:
        return f"ModelCard({', '.join(description(self).values())})"

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.settings.name

    @property
    def format(self) -> int:
        """The lowest format of a file that can hold this card."""
        return 1 if self.has_old_names and self.settings == _FIRST_TASK() else 2

    @property
    def has_old_names(self) -> bool:
        """Whether version 0.2 had such models, whose answers keep their old names for one version."""
        # Fields of a spec that are left out at their default came after format 1.
        later = [each.name for each in fields(self.spec) if OMITTED_BY_DEFAULT.items() <= each.metadata.items()]
        known = all(getattr(self.spec, name) in choices for name, choices in _OF_FORMAT_1.items())
        first = type(self.settings) is _FIRST_TASK and type(self.preprocessing) is _FIRST_INPUT
        first = first and _LATER.isdisjoint(data := encode(self.preprocessing)) and isinstance(data["crop"], int)
        return known and first and encode(self.spec).keys().isdisjoint(later)


def description(card: ModelCard) -> dict[str, str]:
    """What a model is, in a few words each: its task, classes, network and input."""
    spec = card.spec
    blocks = f"{spec.block} blocks {'-'.join(map(str, spec.depths))}"
    return {
        "task": card.task,
        "classes": f"{show_count(len(card.classes), 'class', 'classes')}: {names(card.classes)}",
        "network": f"{blocks}, {show_count(counts.parameters(spec), 'parameter')}",
        "input": card.preprocessing.summary,
    }


def save(path: Path, state: dict[str, Tensor], card: ModelCard) -> None:
    """Writes a model file atomically.

    Raises:
        FileError: it cannot be written.
    """
    settings = {"settings": encode(card.settings, AnyTask, UNTAGGED_FIRST)} if card.format > 1 else {}
    data = {
        "format": card.format,
        "version": card.version,
        "task": card.task,
        **settings,
        "spec": encode(card.spec),
        "classes": list(card.classes),
        "preprocessing": encode(card.preprocessing, AnyInput, UNTAGGED_FIRST),
        "recipe": card.recipe,
        "environment": card.environment,
        "metrics": card.metrics,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_bytes(path, _serialized(tensors, {"format": "pt", KEY: to_json(data)}))


def _serialized(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The file of `tensors` and `metadata`, the same bytes each time.

    safetensors writes several keys of metadata in any order, so they are put into the header here.
    """
    content = safetensors.torch.save(tensors)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps({"__metadata__": metadata} | json.loads(content[8:end]), separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # numbers begin at a multiple of 8 bytes, as safetensors has them
    return b"".join((len(header).to_bytes(8, "little"), header, memoryview(content)[end:]))


def load(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """The weights and the card of a model file.

    Raises:
        FileError: the file is missing, damaged, written by a newer version, or not a model file of this library.
    """
    tensors, metadata = read_safetensors(path)
    if KEY not in metadata:
        raise FileError(
            f"{path} has weights but does not name their network, so it is not a model file of resnets. "
            'Load it in Python with resnets.create(NAME, weights="FILE").'
        )
    card = read_card(path, metadata[KEY])
    if sum(card.spec.depths) > len(tensors):
        raise FileError(f"{path} is damaged: its spec has more blocks than the file has tensors.")
    if counts.parameters(card.spec) > sum(tensor.numel() for tensor in tensors.values()):
        raise FileError(f"{path} is damaged: its spec has more parameters than the file has numbers.")
    return tensors, card


def read_card(path: Path, text: str) -> ModelCard:
    """The card in the JSON `text`, which is from the metadata of `path`.

    Raises:
        FileError: it is damaged, of a newer format, or of another task.
    """
    try:
        data = parse_json(text)
        if not isinstance(data, dict):
            raise UsageError("it is not an object.")
        version: Any = data.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise FileError(
                f"{path} has format {version}, and this version of resnets reads up to {FORMAT}: upgrade resnets."
            )
        if version not in range(1, FORMAT + 1) or isinstance(version, bool):
            raise UsageError(f"format {version!r} is unknown.")
        task = decode(str, data.get("task"), "task")
        known = [each.name for each in SETTINGS]
        if task not in known:
            raise FileError(
                f"{path} is a model for {task!r}, and this version of resnets only reads models for "
                f"{', '.join(known)}: upgrade resnets."
            )
        return ModelCard(
            spec=decode(Spec, data.get("spec"), "spec"),
            classes=decode(tuple[str, ...], data.get("classes"), "classes"),
            preprocessing=_input(data, version),
            settings=_settings(data, version, task),
            version=decode(str, data.get("version"), "version"),
            recipe=decode_object(data, "recipe"),
            environment=decode_object(data, "environment"),
            metrics=decode_object(data, "metrics"),
        )
    except (UsageError, ValueError, RecursionError) as error:
        raise FileError(f"The description in {path} is damaged: {error}") from error


def _input(data: dict[str, Any], version: int) -> AnyInput:
    """The preprocessing in a description; format 1 knows one kind."""
    declared: Any = _FIRST_INPUT if version == 1 else AnyInput
    return cast(AnyInput, decode(declared, data.get("preprocessing"), "preprocessing", UNTAGGED_FIRST))


def _settings(data: dict[str, Any], version: int, task: str) -> AnyTask:
    """The settings of the task in a description; format 1 knows none.

    Raises:
        UsageError: they are not settings, or those of another task than `task`.
    """
    given, declared = data.get("settings"), cast(Any, AnyTask)
    settings: AnyTask = _FIRST_TASK() if version == 1 else decode(declared, given, "settings", UNTAGGED_FIRST)
    if settings.name != task:
        raise UsageError(f"task is {task!r}, and its settings are those of {settings.name!r}.")
    return settings


def decode_object(data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise UsageError(f"{name} is not an object.")
    return value


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of any safetensors file.

    Raises FileError where the file is missing, damaged, or too large to be of a residual network.
    """
    try:
        with path.open("rb") as stream:  # opened here first, also since OSError has the clearer message
            header = int.from_bytes(stream.read(8), "little")
            tensors = stream.read(min(header, MOST_HEADER)).count(b'"data_offsets"')
        if header > MOST_HEADER:
            raise FileError(
                f"{path} is not a complete safetensors file (its header has {header:,} bytes, and at most "
                f"{MOST_HEADER:,} are read). Use another copy of it."
            )
        check_tensors(path, tensors)
        if not _is_utf8(path):  # safetensors opens paths in UTF-8 only
            content = path.read_bytes()
            metadata = json.loads(content[8 : 8 + header]).get("__metadata__", {})
            return safetensors.torch.load(content), metadata
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileError:
        raise
    except OSError as error:
        raise explain("read", path, error) from error
    except Exception as error:  # safetensors' own error, and torch's for invalid shapes
        raise FileError(f"{path} is not a complete safetensors file ({error}). Use another copy of it.") from error


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_tensors(path: Path, count: int) -> None:
    """Raises FileError where `count`, the tensors of a file, is above `MOST_TENSORS`: to read them would take long."""
    if count > MOST_TENSORS:
        raise FileError(
            f"{path} has {count:,} tensors, and a residual network has at most {MOST_TENSORS:,}: it is another file."
        )


def weights_sha256(state: dict[str, Tensor]) -> str:
    """The SHA-256 of the entries in the order of their names: name, dtype, shape and bytes of each."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
