"""A trained network with its classes and its preprocessing."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast, get_args

import torch
from PIL import Image
from torch import Tensor, nn

from resnets.artifacts import model_file, runtimes
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.core.console import note
from resnets.core.devices import find_device, full_float32
from resnets.core.errors import DataError, FileError, PredictionError, UsageError
from resnets.core.renamed import renamed_arguments, renamed_fields, stored
from resnets.core.signatures import checked_arguments
from resnets.core.workers import default_workers
from resnets.data.prefetch import prefetch
from resnets.data.sampler import evenly_spaced
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.batch import Loaded
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.preprocessing import Preprocessing, TestTimeAugmentation
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.image.transforms.normalize import normalize
from resnets.modalities.image.transforms.resize import prepare
from resnets.modalities.inputs import dataset_of, open_reader
from resnets.modalities.listing import Listing
from resnets.models.catalog import CATALOG
from resnets.models.initialize import allocate
from resnets.models.surgery import load_strictly
from resnets.tasks.catalog import open_task
from resnets.tasks.classification.settings import Classify
from resnets.tasks.forward import place

CALIBRATION = 300  # images, as NNCF's own default
ImageInput = str | Path | bytes | Image.Image
Ranking = list[tuple[str, float]]


@renamed_fields
@dataclass(frozen=True)
class Model:
    """A model that predicts; `resnets.load` returns one.

    Args:
        network: in evaluation mode: a ResNet, or a runtime's module; (N, C, H, W) to logits (N, classes).
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
    def tta(self) -> TestTimeAugmentation:
        """The test-time augmentation of the recipe that trained the model; "center" if there is no recipe."""
        recipe_tta = stored("Recipe", self.card.recipe, "tta")
        return next((tta for tta in get_args(TestTimeAugmentation) if tta == recipe_tta), "center")

    @renamed_arguments(pictures="images")
    def probabilities(self, images: Iterable[ImageInput]) -> Tensor:
        """(N, classes) float32 probabilities on the CPU, for images of any sizes: the same that `evaluate` scores.

        They are averaged over the crops of `tta`. The network computes in evaluation mode, whatever its mode is.

        Raises:
            DataError: an image is missing or damaged.
        """
        return self._probabilities([self._load(image) for image in images])

    def _load(self, image: ImageInput) -> Loaded:
        settings = self.card.preprocessing
        return open_reader(settings).load(dataset_of(settings, [image]), 0, self.tta)

    def _probabilities(self, inputs: Sequence[Loaded]) -> Tensor:
        if not inputs:
            return torch.empty(0, len(self.classes))
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        reader = open_reader(self.card.preprocessing)
        predictor = NetworkPredictor(self.network, open_task(Classify()), reader, tta=self.tta, device=device)
        with torch.inference_mode(), full_float32():
            return torch.softmax(predictor.predict(inputs).float(), 1).cpu()

    @renamed_arguments(picture="image")
    def predict(self, image: ImageInput, top: int = 5) -> Ranking:
        """The `top` most probable classes with their probabilities, the most probable first."""
        return self.predict_many([image], top)[0]

    @renamed_arguments(pictures="images")
    def predict_many(
        self, images: Sequence[ImageInput], top: int = 5, batch: int = 32, workers: int | None = None
    ) -> list[Ranking]:
        """`predict` for each of `images`, in batches of `batch`; the next batch is decoded meanwhile.

        Args:
            workers: threads that decode; None is one for each usable core.

        Raises:
            PredictionError: some images cannot be read; the error has the predictions for the others.
        """
        if top < 1:
            raise UsageError(f"top must be 1 or more, not {top}.")
        rankings: list[Ranking | None] = []
        failed: dict[int, DataError] = {}
        with ThreadPoolExecutor(default_workers() if workers is None else max(1, workers)) as pool:
            parts = [images[first : first + batch] for first in range(0, len(images), batch)]
            for loaded in prefetch(pool, self._try_to_load, parts):
                readable = [crops for crops in loaded if not isinstance(crops, DataError)]
                ranked = iter(self._rank(readable, top))
                numbered = enumerate(loaded, start=len(rankings))
                failed |= {number: each for number, each in numbered if isinstance(each, DataError)}
                rankings += [None if isinstance(each, DataError) else next(ranked) for each in loaded]
        if failed:
            raise PredictionError(rankings, failed)
        return [ranking for ranking in rankings if ranking is not None]

    def _try_to_load(self, image: ImageInput) -> Loaded | DataError:
        try:
            return self._load(image)
        except DataError as error:
            return DataError(str(error))  # without the traceback, whose frames hold the pixels

    def _rank(self, inputs: Sequence[Loaded], top: int) -> list[Ranking]:
        values, indices = self._probabilities(inputs).topk(min(top, len(self.classes)))
        return [
            [(self.classes[i], v) for i, v in zip(*row, strict=True)]
            for row in zip(indices.tolist(), values.tolist(), strict=True)
        ]


def find_model_file(model: str | Path) -> Path:
    """The path of the model file: `model` itself, or the model file in the run folder `model`.

    Raises:
        FileError: there is none.
    """
    path = Path(model)
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
    calibrate: str | None = None,
) -> Model:
    """Load the model in a model file or a run folder; it has its classes and its preprocessing.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        runtime: "torch"; or, on the CPU, "folded" (batch norm folded into the convolutions), "compiled", "openvino" or
            "onnxruntime"; see `artifacts.runtimes`.
        precision: "auto" (bf16 where runtime and processor support it, else fp32), "fp32", "bf16" or "int8".
        calibrate: images to calibrate int8 on: a folder or the name of a dataset; None takes the training data.

    Raises:
        FileError: if there is no model, or it is damaged.
        UsageError: if the device or the runtime is not available, or not in this precision.
    """
    device = find_device(str(device))
    if calibrate is not None and precision != "int8":
        raise UsageError(f"calibrate is for precision int8, not {precision}.")
    path = find_model_file(model)
    state, card = model_file.load(path)
    network = allocate(card.spec)
    load_strictly(network, state, str(path))
    # Images are laid out as in the evaluations of training, for the same last bit.
    network = (place(network, device) if card.spec.dimensions == 2 else network.to(device)).eval()
    images = calibrate if calibrate is not None else card.recipe.get("data")
    calibration = None if images is None else lambda: _calibration(images, card.preprocessing)
    execute = runtimes.build(
        network,
        runtime,
        precision,
        keep=path,
        calibration=calibration,
        calibrated_on="" if calibrate is None else _digest(calibrate),
    )
    return Model(execute, card, path)


def _digest(name: str) -> str:
    """A hash of the names and sizes of the images in the folder `name`, or of the dataset's name."""
    images = _images_in(Listing(Path(name))) if Path(name).is_dir() else []
    files = [f"{path.relative_to(name)} {path.stat().st_size}" for path in images]
    return hashlib.sha256("\n".join(files or [name]).encode(errors="surrogateescape")).hexdigest()[:8]


def _images_in(listing: Listing) -> list[Path]:
    return sorted(listing.root / os.fsdecode(name) for name in listing.files())


def _calibration(name: str, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Normalised images, (1, C, H, W) each: `CALIBRATION` of the folder or dataset `name`, evenly spaced."""
    p = preprocessing
    if Path(name).is_dir():
        listing = Listing(Path(name))
        openers = [partial(open_image, path, p.color, background=p.background) for path in _images_in(listing)]
        notes = listing.notes(classes=False)
    else:
        try:
            splits = open_dataset(name)
        except DataError as error:
            raise DataError(
                f"int8 is calibrated on images like those of later predictions, and {name} is not here: "
                "give --calibrate FOLDER."
            ) from error
        count = len(splits.train)
        openers = [
            partial(cast(ImageDataset, splits.train).image, index, p.color, p.background) for index in range(count)
        ]
        notes = list(splits.notes)
    note(*notes)
    if not openers:
        raise DataError(f"There are no images in {name} to calibrate int8 on.")
    for number in evenly_spaced(len(openers), CALIBRATION):
        with contextlib.suppress(DataError):  # images that cannot be read are skipped
            yield normalize(torch.from_numpy(prepare(openers[number](), p))[None], p)
