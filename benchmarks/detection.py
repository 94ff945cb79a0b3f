"""Detection: what `resnets train` reaches on the cells of BCCD, and the speed of ResNet-18-FPN beside torchvision's.

    python benchmarks/detection.py cells BCCD WEIGHTS FOLDER [--head fpn c4] [--minutes 60] [--seeds 0 1]
    python benchmarks/detection.py speed [--rounds 5]

`cells` trains on train of ImageSets/Main with the time budget and scores `test` with the final weights: the FPN with
the recipe `detection/small` as it is, the network of the paper (C4) at 640 px with the settings below. It goes on where
it was stopped; results are appended to --out, a line each.

`speed` has torchvision's `FasterRCNN` on its `resnet_fpn_backbone("resnet18")`, in which our weights are loaded, and
ours in the same loop, both called as torchvision's are, in turn: a training step of 4 images of 320 x 448 with 10 boxes
each, and the answers to one image of 640 x 640, whose boxes are compared before anything is timed. Ours has the layout
in which training and evaluation run it; torchvision's has its default, and channels last as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import resnets
from photographs_runs import Lines, call
from resnets.models.box_heads import FasterRCNNHead
from resnets.models.catalog import find
from resnets.tasks.forward import place
from rounds import Contestant, clock, compete, report

HEADS: Mapping[str, tuple[str, ...]] = {
    "fpn": (),
    "c4": (
        "detection/fasterrcnn-c4", "--model", "fasterrcnn_resnet18_c4", "--size", "640",
        "preprocessing.crop=[640,864]", "fine_tuning.freeze=2", "batch=2", "optimizer.lr=0.004", "schedule=OneCycle",
        "schedule.peak=0.1", "clip_norm=10", "model.head.regions_per_image=64",
    ),
}  # fmt: skip
CLASSES, BOXES, SIZE = 3, 10, (320, 448)
SIDE = 640  # pixels, of the image that is answered
TOLERANCE = 1e-3  # of the side and of scores, between the answers of the two
Way = Callable[[nn.Module], Callable[[], object]]  # from a network to what is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cells", "speed"])
    parser.add_argument("paths", type=Path, nargs="*", help="of cells: BCCD WEIGHTS FOLDER")
    parser.add_argument("--head", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    if given.what == "speed":
        speed(given)
    elif len(given.paths) != 3:
        parser.error("cells takes BCCD WEIGHTS FOLDER.")
    else:
        cells(given)


def cells(given: argparse.Namespace) -> None:
    data, weights, folder = given.paths
    lines = Lines(given.out / "detection.jsonl")
    for head in given.head:
        for seed in given.seeds:
            key = f"cells {head} {given.minutes:g} min {seed}"
            if key not in lines:
                arguments = ["--data", data, "--weights", weights, "--minutes", given.minutes, "--seed", seed]
                run = folder / key.replace(" ", "-")
                lines.add(key, ["resnets", "train", *HEADS[head], *arguments], trained(run, head, given, seed))


def trained(run: Path, head: str, given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What a run reaches on test, each class and in all."""
    data, weights, _ = given.paths
    if (run / "recipe.json").exists():
        _, seconds = call("resume", run, "--json")
    else:
        _, seconds = call(
            "train", *HEADS[head], "--data", data, "--weights", weights, "--minutes", given.minutes, "--seed", seed,
            "--out", run, "--json",
        )  # fmt: skip
    scores = resnets.evaluate(run, data=str(data), split="test").metrics
    return {"seconds": seconds, "seed": seed, "minutes": given.minutes, "metrics": scores}


def speed(given: argparse.Namespace) -> None:
    results = [step(precision, given) for precision in ("fp32", "bf16")]
    results.append(answers(given))
    report(given.out, "detection-speed", results, ["torchvision"])


def pair(side: int) -> tuple[nn.Module, nn.Module]:
    """Our network and torchvision's with the same weights, for images whose shorter side is `side`."""
    head = replace(cast(FasterRCNNHead, find("fasterrcnn_resnet18_fpn").head), min_size=side)
    ours = resnets.create("fasterrcnn_resnet18_fpn", classes=CLASSES, seed=0, head=head)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    theirs = FasterRCNN(backbone, num_classes=CLASSES + 1, min_size=side)
    theirs.load_state_dict(ours.state_dict())
    return place(ours, torch.device("cpu")), theirs


def sample(count: int, size: tuple[int, int]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Images of smooth noise with boxes."""
    g = torch.Generator().manual_seed(1)
    height, width = size
    coarse = torch.rand(count, 3, height // 16, width // 16, generator=g)
    images = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    corners = torch.rand(count, BOXES, 2, generator=g) * torch.tensor([width - 90, height - 90])
    boxes = torch.cat([corners, corners + 20 + 60 * torch.rand(count, BOXES, 2, generator=g)], 2)
    labels = torch.randint(1, CLASSES + 1, (count, BOXES), generator=g)
    targets = [{"boxes": box, "labels": label} for box, label in zip(boxes, labels, strict=True)]
    return list(images), targets


def step(precision: str, given: argparse.Namespace) -> dict[str, Any]:
    images, targets = sample(4, SIZE)

    def stepper(network: nn.Module) -> Callable[[], object]:
        network.train()
        optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1e-4, momentum=0.9)

        def once() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = torch.stack(list(network(images, targets).values())).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return once

    contestants = contest({"": stepper}, pair(min(SIZE)), len(images))
    title = f"training step, {precision}, {len(images)} images of {SIZE[0]} x {SIZE[1]}"
    return compete(title, contestants, given.rounds, given.seconds)


def answers(given: argparse.Namespace) -> dict[str, Any]:
    ours, theirs = (network.eval() for network in pair(SIDE))
    (image,), _ = sample(1, (SIDE, SIDE))
    with torch.inference_mode():
        own, peer = ours([image])[0], theirs([image])[0]
    for name, unit in (("boxes", SIDE), ("scores", 1)):
        assert own[name].shape == peer[name].shape, f"{name}: {own[name].shape} and {peer[name].shape}"
        assert (own[name] - peer[name]).abs().max() <= TOLERANCE * unit, name

    def answering(network: nn.Module, precision: str) -> Callable[[], object]:
        def once() -> object:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                return network([image])

        return once

    ways = {precision: partial(answering, precision=precision) for precision in ("fp32", "bf16")}
    contestants = contest(ways, (ours, theirs), 1)
    return compete(f"answers to one image of {SIDE} x {SIDE}", contestants, given.rounds, given.seconds)


def contest(ways: Mapping[str, Way], networks: tuple[nn.Module, nn.Module], images: int) -> list[Contestant]:
    """Each way of ours, of theirs, and of theirs in channels last; the first of theirs is their default."""
    ours, theirs = networks
    last = deepcopy(theirs).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sides = {"resnets": ours, "torchvision": theirs, "torchvision channels last": last}
    return [
        Contestant(
            f"{side} {name}".strip(), partial(clock, way(network)), images, ours=network is ours,
            default=network is theirs and not number,
        )
        for side, network in sides.items()
        for number, (name, way) in enumerate(ways.items())
    ]  # fmt: skip


if __name__ == "__main__":
    main()
