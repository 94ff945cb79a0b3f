"""G4 and G5 for one seed, at a length that fits a few minutes: called by `gpu.py`, prints each result as it is found.

    PYTHONPATH=src python benchmarks/gpu_cifar.py g4 | g5 CIFAR_FOLDER [--seconds 120] [--airbench CHECKOUT]

G4: airbench94_muon's own error after its 8 epochs, and ours after as many epochs as fit into its time; without a
checkout of it, ours after 8 epochs. G5: the speed of `paper/cifar` for cifar_resnet20 against the usual open CIFAR code
(eager float32, its transforms in DataLoader's processes), then its error after the epochs that fit into the rest of the
time, up to the paper's 164, with the schedule shortened to that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms

import resnets
from airbench import TO_94
from cifar10 import our_steps, their_steps, train_ours, train_theirs, write_images
from independent import Images
from resnets.nn.shortcuts import ZeroPad
from resnets.training import environment
from rounds import Contestant, compete, remote
from training import Sliced

THEIR_EPOCHS = 8
PAPER_EPOCHS = 64_000 * 128 / 50_000


def emit(**found: Any) -> None:
    """Prints a result in the form that `gpu.py` reads."""
    print("RESULT " + json.dumps(found), flush=True)


def usual_steps(folder: Path) -> Callable[[], Tensor]:
    """A function that makes a step, with its data, of ResNet-20 as the open CIFAR code trains it."""
    device = environment.choose().device
    torch.backends.cudnn.benchmark = True
    network = resnets.create("cifar_resnet20")
    for block in network.modules():
        if isinstance(shortcut := getattr(block, "downsample", None), ZeroPad):
            block.downsample = Sliced(shortcut)
    network = network.to(device).train()
    steps = [
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(32, 4),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
    loader = torch.utils.data.DataLoader(
        Images(folder / "train", transforms.Compose(steps)),
        batch_size=128,
        shuffle=True,
        num_workers=4,
        pin_memory=device != "cpu",
        persistent_workers=True,
        drop_last=True,
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()

    def step() -> Tensor:
        images, labels = (each.to(device, non_blocking=True) for each in next(batches))
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


def samples_in(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder / "train"))


def g5(given: argparse.Namespace) -> None:
    started, cuda_graph = time.monotonic(), torch.cuda.is_available()
    with contextlib.ExitStack() as stack:
        usual = stack.enter_context(remote(usual_steps, given.data))
        ours = stack.enter_context(remote(our_steps, "paper/cifar", str(given.data), cuda_graph))
        contestants = [
            Contestant("the usual open code (default)", usual.clock, 128, default=True),
            Contestant("resnets", ours.clock, 128, ours=True),
        ]
        found = compete("G5: cifar_resnet20, training with its data", contestants, given.rounds, given.round_seconds)
    emit(speed=found, cuda_graph=cuda_graph)
    left = given.seconds - (time.monotonic() - started) - 30  # for reading the images, and the test
    epochs = min(PAPER_EPOCHS, max(1.0, left * found["medians"]["resnets"] / samples_in(given.data)))
    with tempfile.TemporaryDirectory() as place:
        run = train_ours("paper/cifar", str(given.data), round(epochs, 2), 0, Path(place), cuda_graph)
    emit(epochs=round(epochs, 2), run=run)


def g4(given: argparse.Namespace) -> None:
    cuda_graph, name = torch.cuda.is_available(), "fast/cifar10"
    epochs = float(given.epochs)
    samples = samples_in(given.data)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        ours = stack.enter_context(remote(our_steps, name, str(given.data), cuda_graph))
        contestants = [Contestant("resnets", ours.clock, 250, ours=True)]
        if given.airbench is not None:
            write_images(str(given.data), Path(place))
            theirs = stack.enter_context(remote(their_steps, TO_94, given.airbench, Path(place)))
            contestants.append(Contestant(TO_94.name, theirs.clock, TO_94.batch, default=True))
            found = compete("G4: training with its data", contestants, given.rounds, given.round_seconds)
            rates = found["medians"]
            emit(speed=found, cuda_graph=cuda_graph, seconds_of_theirs=epochs * samples / rates[TO_94.name])
        else:
            ours.clock(4)
            times = max(1, round(given.round_seconds / ours.clock(1)))
            rates = {"resnets": 250 * times / ours.clock(times)}
            emit(images_per_second=rates["resnets"], cuda_graph=cuda_graph, airbench="no checkout was given")
        stack.close()
        if given.airbench is not None:
            emit(theirs=train_theirs(TO_94, given.airbench, Path(place), epochs, 0) | {"epochs": epochs})
            epochs = round(epochs * rates["resnets"] / rates[TO_94.name], 2)
        run = train_ours(name, str(given.data), epochs, 0, Path(place) / "runs", cuda_graph)
        emit(ours=run | {"epochs": epochs, "seconds": epochs * samples / rates["resnets"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["g4", "g5"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--airbench", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="for everything")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-seconds", type=float, default=1.5)
    parser.add_argument("--epochs", type=float, default=THEIR_EPOCHS, help="of airbench")
    given = parser.parse_args()
    {"g4": g4, "g5": g5}[given.part](given)


if __name__ == "__main__":
    main()
