"""A trained network that knows its classes and its preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.data.batches import normalize
from resnets.data.pictures import open_picture, prepare
from resnets.errors import FileError, UsageError
from resnets.models.initialize import allocate
from resnets.models.resnet import ResNet
from resnets.models.surgery import load_strictly

Picture = str | Path | bytes | Image.Image
Ranking = list[tuple[str, float]]


@dataclass(frozen=True)
class Model:
    """What `resnets.load` gives: the network in evaluation mode, and what its file says of it."""

    network: ResNet
    card: ModelCard

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def probabilities(self, pictures: Iterable[Picture]) -> Tensor:
        """(N, classes) float32 probabilities, on the CPU, for pictures of any sizes.

        Raises:
            DataError: a picture is missing or damaged.
        """
        p = self.card.preprocessing
        opened = (open_picture(Path(x) if isinstance(x, str) else x, p.color) for x in pictures)
        prepared = [prepare(picture, p) for picture in opened]
        if not prepared:
            return torch.empty(0, len(self.classes))
        images = torch.from_numpy(np.stack(prepared))
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            logits = self.network(normalize(images.to(device), p))
        return torch.softmax(logits.float(), 1).cpu()

    def predict(self, picture: Picture, top: int = 5) -> Ranking:
        """The `top` classes with their probabilities, the most probable first."""
        return self.predict_many([picture], top)[0]

    def predict_many(self, pictures: Sequence[Picture], top: int = 5, batch: int = 32) -> list[Ranking]:
        """`predict` for each of `pictures`, `batch` of them at a time."""
        if top < 1:
            raise UsageError(f"top must be 1 or more, not {top}.")
        rankings: list[Ranking] = []
        for first in range(0, len(pictures), batch):
            for row in self.probabilities(pictures[first : first + batch]):
                values, indices = row.topk(min(top, len(self.classes)))
                rankings.append([(self.classes[i], v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)])
        return rankings


def find_model_file(model: str | Path) -> Path:
    """The model file that `model` names: itself, or the one in a run folder.

    Raises:
        FileError: there is none.
    """
    path = Path(model)
    if path.is_dir():
        if not (path / model_file.MODEL_NAME).is_file():
            raise FileError(f"{path} holds no {model_file.MODEL_NAME}; has its training ended?")
        return path / model_file.MODEL_NAME
    if not path.exists():
        raise FileError(f"There is no model file or run folder {path}.")
    return path


def load(model: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model in a model file or a run folder, ready to predict.

    Raises:
        FileError: there is none, or it is damaged.
    """
    path = find_model_file(model)
    state, card = model_file.load(path)
    network = allocate(card.spec)
    load_strictly(network, state, str(path))
    if card.spec.dimensions == 2:  # the layout that training evaluates in, so that the last bit agrees
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(network.to(device).eval(), card)
