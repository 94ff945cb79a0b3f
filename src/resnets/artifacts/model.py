"""A trained network with its classes and its preprocessing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from resnets.artifacts import model_file, runtimes
from resnets.artifacts.answers import answers_to
from resnets.artifacts.calibration import calibration_digest, calibration_inputs
from resnets.artifacts.mistaken_model import mistaken_model, model_path
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.core.devices import find_device
from resnets.core.errors import DataError, FileError, PredictionError, UsageError, nearest
from resnets.core.renamed import renamed_arguments, renamed_fields, stored
from resnets.core.signatures import checked_arguments
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.given import Given, given_inputs, is_several
from resnets.modalities.image.datasets.given import ImageInput as ImageInput
from resnets.modalities.inputs import open_reader
from resnets.models.catalog import CATALOG
from resnets.models.resnet import ResNet
from resnets.models.surgery import load_strictly
from resnets.tasks.base import Task
from resnets.tasks.catalog import open_task
from resnets.tasks.forward import place

Ranking = list[tuple[str, float]]


@renamed_fields
@dataclass(frozen=True)
class Model:
    """A model that predicts; `resnets.load` returns one.

    Args:
        network: in evaluation mode: a network of the task, or a runtime's module.
        card: what the model file says of it.
        file: the model file.
    """

    network: nn.Module
    card: ModelCard
    file: Path | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def task(self) -> Task:
        """The task, with its settings as the model file has them."""
        return open_task(self.card.settings)

    @property
    def tta(self) -> str:
        """The test-time augmentation of the recipe that trained the model; none if there is no recipe."""
        known = self.card.preprocessing.tta
        recipe_tta = stored("Recipe", self.card.recipe, "tta")
        return next((tta for tta in known if tta == recipe_tta), known[0])

    def check_tta(self, tta: str | None) -> str:
        """Returns `tta`, or that of the recipe where it is None.

        Raises:
            UsageError: the model's input or its task has no such test-time augmentation.
        """
        if tta is None:
            return self.tta
        known, task = self.card.preprocessing.tta, self.card.settings
        if tta not in known:
            near = nearest(tta, known)
            advice = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}."
            noun = self.card.preprocessing.noun
            raise UsageError(f"There is no test-time augmentation {tta!r} of {noun}s: {advice}")
        if tta != known[0] and not task.averages:
            raise UsageError(f"tta {tta} averages outputs, which cannot be done with those of {task.name}.")
        return tta

    def predictor(self, tta: str | None = None, device: torch.device | None = None) -> NetworkPredictor:
        """What gives the outputs of the model, on the device of its network.

        Args:
            tta: in place of the recipe's.
            device: to which the network is moved.

        Raises:
            UsageError: there is no such test-time augmentation for it.
        """
        tta = self.check_tta(tta)
        own = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        network = self.network if device is None else self.network.to(device)
        return NetworkPredictor(
            network, self.task, open_reader(self.card.preprocessing), tta=tta, device=device or own
        )  # fmt: skip

    @renamed_arguments(pictures="images")
    def probabilities(self, images: Any) -> Tensor:
        """(N, classes) float32 probabilities on the CPU, for images of any sizes: the same that `evaluate` scores.

        They are averaged over the crops of `tta`. The network computes in evaluation mode, whatever its mode is.

        Args:
            images: see `predict_many`.

        Raises:
            DataError: an image is missing or damaged.
            UsageError: the outputs of the model's task are no probabilities of classes.
        """
        task, rows = self.task, []
        for _, answer in self.answers(self.given(images), len(self.classes)):
            if isinstance(answer, DataError):
                raise answer
            listed = task.answer_json(answer, self.classes).get("classes", ())
            by_class = {each["name"]: each["probability"] for each in listed if "probability" in each}
            if by_class.keys() != set(self.classes):
                raise UsageError(
                    f"A model of {self.card.task} gives no probabilities of classes for a whole "
                    f"{self.card.preprocessing.noun}: use predict."
                )
            rows.append([by_class[name] for name in self.classes])
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.classes))

    @renamed_arguments(picture="image")
    def predict(self, image: Any, top: int = 5, *, tta: str | None = None) -> Any:
        """The answer of the model's task to one sample, such as an image of any size.

        Args:
            image: a path; the bytes of a file, or a file object; an image of Pillow's; an array or a tensor: (height,
                width), (height, width, channels) or (channels, height, width), of uint8 or of floats from 0 to 1, in
                the order red, green, blue (`modalities.image.read.arrays`). Of sounds a pair (samples, rate in Hz) in
                place of the last two. Several of them, such as a list or an array of 4 dimensions, get a list of
                answers.
            top: number of classes, where they are ranked.
            tta: the test-time augmentation, in place of the recipe's.

        Returns:
            Of a classifier, the `top` most probable classes with their probabilities, the most probable first.
        """
        found = self.predict_many(image, top, tta=tta)
        return found if is_several(image, self.card.preprocessing.modality) else found[0]

    @renamed_arguments(pictures="images")
    def predict_many(
        self,
        images: Any,
        top: int = 5,
        batch: int | None = None,
        workers: int | None = None,
        *,
        tta: str | None = None,
    ) -> list[Any]:
        """`predict` for each of `images`, in batches of `batch`; the next batch is decoded meanwhile.

        Args:
            images: a list, an iterator or a batch of what `predict` takes. What an iterator yields is dropped as soon
                as the network's input is made of it, so that it may yield more images than fit into memory.
            batch: samples at a time; None takes as many as `evaluate`, for the same last bit.
            workers: threads that decode; None is one for each usable core.

        Raises:
            PredictionError: some samples cannot be read; the error has the answers to the others.
        """
        answers = [answer for _, answer in self.answers(self.given(images), top, batch, workers, tta)]
        failed = {number: each for number, each in enumerate(answers) if isinstance(each, DataError)}
        if failed:
            raise PredictionError([None if number in failed else each for number, each in enumerate(answers)], failed)
        return answers

    def given(self, images: Any) -> Iterator[Given]:
        """Each of the inputs in `images`, when it is asked for; see `predict_many`."""
        return given_inputs([images], self.card.preprocessing.modality)

    def answers(
        self,
        inputs: Iterable[Given],
        top: int = 5,
        batch: int | None = None,
        workers: int | None = None,
        tta: str | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """The name of each of `inputs` and the answer to it, or the DataError of one that cannot be read, in turn.

        See `artifacts.answers.answers_to`.
        """
        return answers_to(inputs, self.predictor(tta), self.card, top, batch, workers)


def find_model_file(model: str | Path) -> Path:
    """The path of the model file: `model` itself, or the model file in the run folder `model`.

    Raises:
        FileError: there is none.
    """
    path = model_path(model)
    if reason := mistaken_model(path) if os.path.exists(path) else "":
        raise FileError(reason)
    if os.path.isdir(path):
        if not (path / model_file.MODEL_NAME).is_file():
            raise FileError(
                f"{path} has no {model_file.MODEL_NAME}, which is written when training ends. If the run was "
                f"interrupted: resnets resume {path}."
            )
        return path / model_file.MODEL_NAME
    if not os.path.exists(path):
        network = f": {path} is the name of a network, which has to be trained first" if str(path) in CATALOG else ""
        raise FileError(f"There is no model file or run folder {path}{network}.")
    return path


@checked_arguments
def load(
    model: str | Path,
    device: str | torch.device = "cpu",
    *,
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | Path | None = None,
) -> Model:
    """Load the model in a model file or a run folder; it has its classes and its preprocessing.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        runtime: "torch"; or, on the CPU, "folded" (batch norm folded into the convolutions), "compiled", "openvino" or
            "onnxruntime"; see `artifacts.runtimes`.
        precision: "auto" (bf16 where runtime and processor support it, else fp32), "fp32", "bf16" or "int8".
        calibrate: samples to calibrate int8 on: a folder or the name of a dataset; None takes the training data.

    Raises:
        FileError: if there is no model, or it is damaged.
        UsageError: if the device or the runtime is not available, not in this precision, or not for this task.
    """
    device = find_device(str(device))
    if calibrate is not None and precision != "int8":
        raise UsageError(f"calibrate is for precision int8, not {precision}.")
    path = find_model_file(model)
    state, card = model_file.load(path)
    if runtime != "torch" and not card.settings.fixed:
        raise UsageError(
            f"Runtime {runtime} is not for models of {card.task}, whose outputs have no fixed size: take torch."
        )
    network = open_task(card.settings).build(card.spec)
    load_strictly(network, state, str(path))
    # Inputs are laid out as in the evaluations of training, for the same last bit.
    network = (place(network, device) if card.spec.dimensions == 2 else network.to(device)).eval()
    name = str(calibrate) if calibrate is not None else card.recipe.get("data")
    calibration = None if name is None else lambda: calibration_inputs(name, card.preprocessing)
    execute = runtimes.build(
        cast(ResNet, network),
        runtime,
        precision,
        keep=path,
        calibration=calibration,
        calibrated_on="" if calibrate is None else calibration_digest(str(calibrate), card.preprocessing),
    )
    return Model(execute, card, path)
