"""Other ways to train a ResNet-18 on a folder of photographs from scratch within a time, for `photographs.py`.

    python benchmarks/photographs_peers.py NAME DATA --minutes 10 --seed 0 --size 128 [--timm CHECKOUT]

NAME is plain-sgd or plain-adam (torchvision's network and transforms, 40 lines of PyTorch with a one-cycle schedule,
bf16, channels last, crops that grow), timm (its train.py), fastai (the settings of its train_imagenette.py, with
xresnet18) or libreyolo (its ResNet classifier). DATA has train/CLASS and test/CLASS. The plain ones follow the clock,
so that their schedule ends in time. For the others the most whole epochs are taken that fit, by the time of one, which
is measured before and not counted. Prints one JSON object; what is not installed prints "left_out".
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

BATCH, WORKERS = 64, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Found = dict[str, Any]
Given = argparse.Namespace


def loader(folder: Path, *transforms: Any, train: bool) -> DataLoader[Any]:
    whole = v2.Compose([*transforms, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    return DataLoader(ImageFolder(folder, whole), BATCH, shuffle=train, drop_last=train, num_workers=WORKERS)


def tested_at(size: int) -> tuple[Any, ...]:
    return v2.Resize(size * 8 // 7), v2.CenterCrop(size)


@torch.inference_mode()
def accuracy_of(network: torch.nn.Module, batches: DataLoader[Any]) -> float:
    network.eval()
    right = [(network(images).argmax(1) == labels).float() for images, labels in batches]
    return float(torch.cat(right).mean())


def plain(given: Given, optimizer: Callable[..., torch.optim.Optimizer], rate: float, **settings: Any) -> Found:
    """Trains by the clock: the rate, and the size of the crops, follow the share of the time that is over."""
    began, last = time.monotonic(), max(1.0, min(10.0, 6 * given.minutes))  # seconds to test in
    budget = 60 * given.minutes - last
    torch.manual_seed(given.seed)
    small = v2.RandomResizedCrop(max(32, given.size * 3 // 4), scale=(0.35, 1)), v2.RandomHorizontalFlip()
    large = v2.RandomResizedCrop(given.size, scale=(0.35, 1)), v2.RandomHorizontalFlip()
    early, late = (loader(given.data / "train", *each, train=True) for each in (small, large))
    network = torchvision.models.resnet18(num_classes=len(early.dataset.classes))  # type: ignore[attr-defined]
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps, made = 0, optimizer(network.parameters(), lr=rate, **settings)

    def share() -> float:
        return float((time.monotonic() - began) / budget)

    while share() < 1:
        for images, labels in early if share() < 0.75 else late:
            if (done := share()) >= 1:
                break
            made.param_groups[0]["lr"] = rate * (0.1 + 0.9 * done / 0.25 if done < 0.25 else (1 - done) / 0.75)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images.to(memory_format=torch.channels_last))
            F.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()
            made.step()
            made.zero_grad()
            steps += 1
    test = loader(given.data / "test", *tested_at(given.size), train=False)
    return {"accuracy": accuracy_of(network, test), "epochs": steps * BATCH / len(early.dataset)}  # type: ignore[arg-type]


def plain_sgd(given: Given) -> Found:
    return plain(given, torch.optim.SGD, 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


def plain_adam(given: Given) -> Found:
    return plain(given, torch.optim.AdamW, 2e-3, weight_decay=1e-2)


def epochs_that_fit(given: Given, run: Callable[[int], object]) -> int:
    """How many epochs fit, by the time of one; that of starting is counted with it in each."""
    began = time.monotonic()
    run(1)
    one = time.monotonic() - began
    return max(1, int(60 * given.minutes / one))


def timm(given: Given) -> Found:
    if given.timm is None or not (given.timm / "train.py").exists():
        return {"left_out": "no checkout of timm with its train.py was given (--timm)"}
    with tempfile.TemporaryDirectory() as place:

        def run(epochs: int) -> float:
            command = [
                sys.executable, given.timm / "train.py", "--data-dir", given.data, "--val-split", "test",
                "--model", "resnet18", "--num-classes", len(list((given.data / "train").iterdir())),
                "--img-size", given.size, "--batch-size", BATCH, "--workers", WORKERS, "--device", "cpu", "--amp",
                "--amp-dtype", "bfloat16", "--channels-last", "--no-prefetcher", "--opt", "sgd", "--momentum", 0.9,
                "--lr", 0.1, "--weight-decay", 5e-4, "--sched", "cosine", "--sched-on-updates", "--warmup-epochs",
                min(1, epochs - 1), "--epochs", epochs, "--smoothing", 0.1, "--scale", 0.35, 1.0, "--seed", given.seed,
                "--output", place, "--experiment", f"run-{epochs}-{time.time():.0f}", "--checkpoint-hist", 1,
            ]  # fmt: skip
            paths = os.pathsep.join(filter(None, (str(given.timm), os.environ.get("PYTHONPATH"))))
            done = subprocess.run(
                [str(each) for each in command], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr[-3000:])
            newest = max(Path(place).glob("*/summary.csv"), key=lambda each: each.stat().st_mtime)
            with open(newest, newline="") as file:
                return float(list(csv.DictReader(file))[-1]["eval_top1"]) / 100

        return whole_epochs(given, run)


def whole_epochs(given: Given, run: Callable[[int], float]) -> Found:
    epochs = epochs_that_fit(given, run)
    began = time.monotonic()
    return {"accuracy": run(epochs), "epochs": epochs, "training_seconds": time.monotonic() - began}


def fastai(given: Given) -> Found:
    if importlib.util.find_spec("fastai") is None:
        return {"left_out": "fastai is not installed"}
    vision: Any = importlib.import_module("fastai.vision.all")
    optimizers: Any = importlib.import_module("functools")

    def run(epochs: int) -> float:
        vision.set_seed(given.seed)
        block = vision.DataBlock(
            blocks=(vision.ImageBlock, vision.CategoryBlock),
            splitter=vision.GrandparentSplitter(valid_name="test"),
            get_items=vision.get_image_files,
            get_y=vision.parent_label,
            item_tfms=[vision.RandomResizedCrop(given.size, min_scale=0.35), vision.FlipItem(0.5)],
            batch_tfms=[vision.Normalize.from_stats(MEAN, STD)],
        )
        batches = block.dataloaders(given.data, path=given.data, bs=BATCH, num_workers=WORKERS, device="cpu")
        optimizer = optimizers.partial(vision.ranger, mom=0.9, sqr_mom=0.99, eps=1e-6, beta=0.0)
        network = vision.xresnet18(n_out=batches.c, act_cls=vision.Mish)
        learner = vision.Learner(
            batches, network, opt_func=optimizer, metrics=[vision.accuracy],
            loss_func=vision.LabelSmoothingCrossEntropy(),
        )  # fmt: skip
        with learner.no_bar(), learner.no_logging():
            learner.fit_flat_cos(epochs, 1e-2, wd=1e-2)
        return float(learner.validate()[1])

    return whole_epochs(given, run)


def libreyolo(given: Given) -> Found:
    if importlib.util.find_spec("libreyolo") is None:
        return {"left_out": "libreyolo is not installed"}
    library: Any = importlib.import_module("libreyolo")
    classes = len(list((given.data / "train").iterdir()))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "data").mkdir()
        for split, own in (("train", "train"), ("val", "test")):
            (Path(place) / "data" / split).symlink_to((given.data / own).resolve())
        counter = itertools.count()

        def run(epochs: int) -> float:
            model = library.LibreResNet(size="18", nb_classes=classes, device="cpu")
            model.train(
                data=f"{place}/data", epochs=epochs, batch=BATCH, imgsz=given.size, workers=WORKERS, seed=given.seed,
                project=place, name=f"run{next(counter)}", device="cpu",
            )  # fmt: skip
            resize = v2.Resize(round(given.size / 0.95), interpolation=v2.InterpolationMode.BICUBIC)
            return accuracy_of(model.model, loader(given.data / "test", resize, v2.CenterCrop(given.size), train=False))

        return whole_epochs(given, run)


PEERS: dict[str, Callable[[Given], Found]] = {
    "plain-sgd": plain_sgd, "plain-adam": plain_adam, "timm": timm, "fastai": fastai, "libreyolo": libreyolo,
}  # fmt: skip
NAMES = tuple(PEERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--timm", type=Path, help="a checkout of pytorch-image-models")
    given = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):  # what others print
        found = PEERS[given.name](given)
    print(json.dumps({**found, "seed": given.seed, "minutes": given.minutes}))


if __name__ == "__main__":
    main()
