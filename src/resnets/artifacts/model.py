"""A trained network with its classes and its preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from resnets.artifacts import display, model_file, runtimes
from resnets.artifacts.answers import answers_to, without_errors
from resnets.artifacts.calibration import calibration_of
from resnets.artifacts.embeddings import embeddings
from resnets.artifacts.explanation import Explanation, explanations
from resnets.artifacts.find import find_model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.artifacts.size import with_size
from resnets.artifacts.tta import checked_tta, tta_of
from resnets.core.devices import find_device
from resnets.core.errors import DataError, UsageError
from resnets.core.renamed import renamed_arguments, renamed_fields
from resnets.core.signatures import checked_arguments
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.given import Given, given_inputs, is_several
from resnets.modalities.image.datasets.given import ImageInput as ImageInput
from resnets.modalities.inputs import AnyInput, open_reader
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.models.surgery import load_strictly
from resnets.tasks.base import Task
from resnets.tasks.catalog import open_task
from resnets.tasks.classification.answers import Ranking as Ranking
from resnets.tasks.forward import place


@renamed_fields
@dataclass(frozen=True, repr=False)
class Model:
    """A model that predicts; `resnets.load` returns one. A notebook shows what it is.

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
        """The names of the classes, in the order of the logits."""
        return self.card.classes

    @property
    def spec(self) -> Spec:
        """The architecture."""
        return self.card.spec

    @property
    def preprocessing(self) -> AnyInput:
        """From a sample, such as an image, to the network's input."""
        return self.card.preprocessing

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def __repr__(self) -> str:
        return display.line(self.card, self.device, self.file)

    def _repr_html_(self) -> str:
        return display.page(self.card, self.device, self.file)

    def to(self, device: str | torch.device) -> Model:
        """Moves the network to a device, as `torch.nn.Module.to` does, and returns this model.

        Args:
            device: "auto", "cpu", "cuda" or "mps", or torch's.

        Raises:
            UsageError: there is no such device, or the runtime of the model computes on the CPU alone.
        """
        if isinstance(device, torch.dtype):
            raise UsageError(f"{device} is no device: a model computes in float32, or as load(precision=...) says.")
        found = find_device(str(device))
        if not isinstance(self.network, runtimes.ON_CPU):
            _place(self.network, self.spec, found)
        elif found.type != "cpu":
            raise UsageError(f"This runtime computes on the CPU alone: load with runtime torch for {found}.")
        return self

    def embed(
        self, inputs: Any, *, tta: str | None = None, batch: int | None = None, workers: int | None = None
    ) -> Tensor:
        """(N, features) float32 on the CPU: the last feature map of each input, pooled, as the classifier gets it.

        Inputs are prepared as `evaluate` does, with their centre crop; the network computes in evaluation mode.

        Args:
            inputs: N of them: a list, an iterator or a batch of what `predict` takes, or one.
            tta: the test-time augmentation over whose crops embeddings are averaged; None takes one crop.
            batch: inputs at a time; None takes as many as `evaluate`.
            workers: threads that decode; None is one for each usable core.

        Raises:
            PredictionError: some inputs cannot be read; the error has the embeddings of the others.
            UsageError: the model has another runtime than torch in float32, or there is no such augmentation.
        """
        predictor = self.predictor(self.card.preprocessing.tta[0] if tta is None else tta)
        rows = without_errors(embeddings(self.given(inputs), predictor, self.card, batch, workers))
        return torch.stack(rows).float().cpu() if rows else torch.zeros(0, self.spec.num_features)

    def explain(self, images: Any, *, target: str | None = None, stage: str | None = None) -> list[Explanation]:
        """Where in each of `images`, as `predict_many` takes them, the network sees a class (Grad-CAM).

        Args:
            target: the class; None takes the most probable one of each image.
            stage: whose feature map, of `ResNet.features`, such as "C4"; None is the last.

        Raises:
            PredictionError, UsageError: see `predict_many` and `artifacts.explanation.explanations`.
        """
        predictor = self.predictor(self.card.preprocessing.tta[0])
        return without_errors(explanations(self.given(images), predictor, self.card, target, stage))

    @property
    def task(self) -> Task:
        """The task, with its settings as the model file has them."""
        return open_task(self.card.settings)

    @property
    def tta(self) -> str:
        """The test-time augmentation of the recipe that trained the model; none if there is no recipe."""
        return tta_of(self.card)

    def check_tta(self, tta: str | None) -> str:
        """Returns `tta`, or that of the recipe where it is None. Raises UsageError where the model has no such one."""
        return self.tta if tta is None else checked_tta(self.card, tta)

    def predictor(self, tta: str | None = None, device: torch.device | None = None) -> NetworkPredictor:
        """What gives the outputs of the model, on the device of its network. Raises UsageError as `check_tta`.

        Args:
            tta: in place of the recipe's.
            device: to which the network is moved, unless its runtime computes on the CPU alone.
        """
        tta = self.check_tta(tta)
        device = None if isinstance(self.network, runtimes.ON_CPU) else device
        network = self.network if device is None else self.network.to(device)
        reader = open_reader(self.card.preprocessing)
        return NetworkPredictor(network, self.task, reader, tta=tta, device=device or self.device)

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
        return without_errors(self.answers(self.given(images), top, batch, workers, tta))

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
        """As `artifacts.answers.answers_to`: the name of each of `inputs` and the answer to it, in turn."""
        return answers_to(inputs, self.predictor(tta), self.card, top, batch, workers)


def _place(network: nn.Module, spec: Spec, device: torch.device) -> nn.Module:
    """Moves a network to a device; kernels are laid out as in evaluations of training, for the same last bit."""
    return place(network, device) if spec.dimensions == 2 else network.to(device)


@checked_arguments
def load(
    model: str | PathLike[str],
    device: str | torch.device = "cpu",
    *,
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | PathLike[str] | None = None,
    size: int | tuple[int, int] | None = None,
) -> Model:
    """Load the model in a model file or a run folder; it has its classes and its preprocessing.

    Args:
        model: a model file, a run folder, or a Run.
        device: "auto", "cpu", "cuda" or "mps".
        runtime: "torch"; or, on the CPU, "folded" (batch norm folded into the convolutions), "compiled", "openvino" or
            "onnxruntime"; see `artifacts.runtimes`.
        precision: "auto" (bf16 where runtime and processor support it, else fp32), "fp32", "bf16" or "int8".
        calibrate: samples to calibrate int8 on: a folder or the name of a dataset; None takes the training data.
        size: of the inputs in pixels, one number or (height, width); None takes the size the model was trained for.

    Returns:
        The model, in evaluation mode: it predicts, embeds, and says what it is.

    Raises:
        FileError: if there is no model, or it is damaged.
        UsageError: if the device or the runtime is not available, not in this precision, or not for this task; or if
            the model's input has no such size.

    Example:
        resnets.load(run).predict("seven.png", top=3)
    """
    device = find_device(str(device))
    if calibrate is not None and precision != "int8":
        raise UsageError(f"calibrate is for precision int8, not {precision}.")
    path = find_model_file(model)
    state, card = model_file.load(path)
    card = with_size(card, size)
    if runtime != "torch" and not card.settings.fixed:
        raise UsageError(
            f"Runtime {runtime} is not for models of {card.task}, whose outputs have no fixed size: take torch."
        )
    network = open_task(card.settings).build(card.spec)
    load_strictly(network, state, str(path))
    network = _place(network, card.spec, device).eval()
    calibration, digest = calibration_of(card, calibrate, sized=size is not None)
    execute = runtimes.build(
        cast(ResNet, network), runtime, precision, keep=path, calibration=calibration, calibrated_on=digest
    )
    return Model(execute, card, path)
