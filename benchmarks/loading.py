"""C4 and C5: from JPEG files to training batches, and from JPEG files to the five best classes.

    python benchmarks/loading.py IMAGES [--rounds 5] [--batch 32] [--workers 2]

C4: random crops of 224, mirrored, normalised, against torchvision's DataLoader with Pillow (the usual pipeline) and
with v2 transforms and decode_jpeg. C5: ResNet-50 with random weights, against torchvision's and timm's pipelines as
their documentation shows them. First prints how far our crops are from Pillow's with the same boxes.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config  # type: ignore[attr-defined]
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

import resnets
from resnets.artifacts import runtimes
from resnets.artifacts.model import Model
from resnets.artifacts.model_file import ModelCard
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.pillow import ENDINGS
from resnets.modalities.image.transforms import Augmentations, Flip, RandomResizedCrop
from resnets.modalities.inputs import open_reader
from rounds import Contestant, clock, compete, parser_for, report


def as_folder(images: Path, place: Path) -> list[Path]:
    """Makes links to the images as train/CLASS and val/CLASS of two classes; returns the images."""
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in ENDINGS)
    for number, path in enumerate(paths):
        for part in ("train", "val"):
            link = place / part / str(number % 2) / f"{number}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return paths


class Forever:
    """Batches from a loader that starts again at its end."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self.rest: Iterator[Any] = iter(())

    def close(self) -> None:
        """Ends the workers, which would otherwise run while the next contestant is timed."""
        self.loader, self.rest = (), iter(())

    def __call__(self) -> Any:
        try:
            return next(self.rest)
        except StopIteration:
            self.rest = iter(self.loader)
            return next(self.rest)


def loaders(place: Path, batch: int, workers: int, stack: contextlib.ExitStack) -> list[Contestant]:
    """The loaders as contestants with endless batches; `stack` ends their workers."""

    def contestant(name: str, loader: Iterable[Any], *, ours: bool = False) -> Contestant:
        batches = stack.enter_context(contextlib.closing(Forever(loader)))
        return Contestant(name, partial(clock, batches), batch, ours=ours, default="default" in name)

    def decode(path: str) -> torch.Tensor:
        data = torchvision.io.read_file(path)
        pixels: torch.Tensor = torchvision.io.decode_image(data, torchvision.io.ImageReadMode.RGB)
        return pixels

    usual = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    second = v2.Compose(
        [
            v2.RandomResizedCrop(224, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        ]
    )
    found = []
    for name, folder in (
        ("DataLoader, Pillow (default)", torchvision.datasets.ImageFolder(place / "train", usual)),
        ("DataLoader, v2, decode_jpeg", torchvision.datasets.ImageFolder(place / "train", second, loader=decode)),
    ):
        loader = torch.utils.data.DataLoader(
            folder, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True
        )
        found.append(contestant(name, loader))
    dataset = open_dataset(str(place)).train
    ours = Batches(
        dataset,
        sampler=EpochSampler(len(dataset), batch, 0),
        reader=open_reader(
            Preprocessing(resize=224, crop=224), Augmentations(crop=RandomResizedCrop(), transforms=(Flip(),))
        ),
        seed=0,
        bn_batch=batch,
        device=torch.device("cpu"),
        workers=workers,
    )
    return [*found, contestant("resnets", ours.between(0, 10**9), ours=True)]


def crop_error(place: Path, count: int) -> dict[str, float]:
    """Difference of our crops from Pillow's with the same boxes, in grey levels of 255."""
    dataset, p = open_dataset(str(place)).train, Preprocessing(resize=224, crop=224)
    g, differences = np.random.default_rng(0), []
    for number in range(count):
        index, u = number % len(dataset), g.random(RandomResizedCrop.numbers, np.float32)
        data = dataset.encoded(index)
        pixels = jpeg.decode(data) if data else None
        if pixels is not None:
            ours = RandomResizedCrop().crop_pixels(pixels, u, p).numpy().astype(int)
            plain = np.asarray(RandomResizedCrop()(cast(ImageDataset, dataset).image(index, "RGB"), u, p))
            differences.append(np.abs(ours - plain.transpose(2, 0, 1)))
    return {
        "crops": len(differences),
        "mean_absolute": float(np.mean([d.mean() for d in differences])),
        "largest": float(max(d.max() for d in differences)),
    }


def predictors(paths: list[Path], batch: int) -> list[Contestant]:
    """The contestants that find the five best classes of the images, all with the same weights."""
    network = resnets.create("resnet50").eval()
    theirs = torchvision.models.resnet50().eval()
    theirs.load_state_dict(network.state_dict())
    by_timm = timm.create_model("resnet50.a1_in1k", pretrained=False).eval()
    by_timm.load_state_dict(network.state_dict())
    usual = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    config = resolve_data_config({}, model=by_timm) | {"crop_pct": 0.875, "interpolation": "bilinear"}  # type: ignore[no-untyped-call]
    timms = create_transform(**config)

    def plain(module: nn.Module, transform: Any) -> list[list[int]]:
        answers: list[list[int]] = []
        with torch.no_grad():
            for first in range(0, len(paths), batch):
                images = [transform(Image.open(path).convert("RGB")) for path in paths[first : first + batch]]
                answers += module(torch.stack(images)).softmax(1).topk(5).indices.tolist()
        return answers

    card = ModelCard(
        spec=network.spec, classes=tuple(map(str, range(1000))), preprocessing=Preprocessing(resize=256, crop=224)
    )
    reference = plain(theirs, usual)
    contestants = [
        Contestant("torchvision (default)", partial(clock, partial(plain, theirs, usual)), len(paths), default=True),
        Contestant("timm", partial(clock, partial(plain, by_timm, timms)), len(paths)),
    ]
    for runtime, precision in (("torch", "fp32"), ("folded", "bf16"), ("openvino", "bf16"), ("openvino", "int8")):
        model = Model(network, card)
        calibration = [
            normalized for path in paths[:64] for normalized in [usual(Image.open(path).convert("RGB"))[None]]
        ]
        model = Model(runtimes.build(network, runtime, precision, calibration=lambda c=calibration: c), card)  # type: ignore[arg-type, misc]
        found = model.predict_many(paths, batch=batch)
        same = np.mean([int(ranking[0][0]) == best[0] for ranking, best in zip(found, reference, strict=True)])
        print(f"{runtime} {precision}: the best class is torchvision's for {same:.1%} of {len(paths)}", flush=True)
        contestants.append(
            Contestant(
                f"resnets {runtime} {precision}",
                partial(clock, partial(model.predict_many, paths, batch=batch)),
                len(paths),
                ours=True,
            )
        )
    return contestants


def main() -> None:
    parser = parser_for(__doc__, 3.0)
    parser.add_argument("images", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--goals", nargs="+", choices=["C4", "C5"], default=["C4", "C5"])
    given = parser.parse_args()
    results, error = [], {}
    with tempfile.TemporaryDirectory() as folder:
        paths = as_folder(given.images, Path(folder))
        error = crop_error(Path(folder), 1000)
        print("crops, against Pillow's:", error, flush=True)
        if "C4" in given.goals:
            title = f"C4: {len(paths)} JPEG files to training batches at 224, {given.workers} workers"
            with contextlib.ExitStack() as stack:
                found = loaders(Path(folder), given.batch, given.workers, stack)
                results.append(compete(title, found, given.rounds, given.seconds))
        if "C5" in given.goals:
            title = f"C5: {len(paths)} JPEG files to the five best classes, batch {given.batch}"
            results.append(compete(title, predictors(paths, given.batch), given.rounds, given.seconds))
    report(given.out, "loading", results, ("torchvision", "timm", "pillow", "openvino"), crop_error=error)


if __name__ == "__main__":
    main()
