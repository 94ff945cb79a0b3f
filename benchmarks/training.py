"""C3, G1 and G3: the training step against eager torch, torch.compile and timm; its rate and its peak of memory.

    PYTHONPATH=src python benchmarks/training.py [--rounds 5] [--cases resnet50:32 ...] [--memory 0.6] [--size N]

Ours is the loop's own step, with its guard against numbers that are not finite; the peers' are written by hand as
users write them, with torchvision's networks or, for CIFAR, ours with the shortcuts of the open CIFAR nets. Each runs
in a process of its own, since what the loop does about the allocator would serve all in one process. All begin with the
same weights and batch; after the first step the losses are compared. Where CUDA is, it is used, by our step also
captured in a CUDA graph. With --memory, one more contestant is told to keep within that share of what eager bf16 took.
A peer that is not installed or fails is left out, and named.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import resnets
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.nn.shortcuts import ZeroPad
from resnets.recipes import paper
from resnets.tasks.classification.task import Classification
from resnets.training import environment, memory
from resnets.training.loop import Training
from rounds import Contestant, Remote, allocate_as_runs_do, compete, parser_for, remote, report

CPU_CASES = ["resnet18:32", "resnet50:32", "cifar_resnet20:128"]
CUDA_CASES = ["resnet50:256", "cifar_resnet1202:128"]
OURS, DEFAULT, EAGER = "resnets", "eager fp32 (default)", "eager bf16, channels last"


@dataclass(frozen=True)
class Case:
    """A network by name, images a step, and their height and width."""

    model: str
    batch: int
    size: int

    @classmethod
    def parse(cls, text: str, size: int | None) -> Case:
        """Of MODEL:BATCH, at the model's usual size where none is given."""
        name, _, count = text.partition(":")
        return cls(name, int(count), size or resnets.describe(name).spec.usual_size)

    def images(self, classes: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch, 3, self.size, self.size, generator=g)
        return images, torch.randint(classes, (self.batch,), generator=g)


class Sliced(nn.Module):
    """Shortcut A as open CIFAR nets have it."""

    def __init__(self, own: ZeroPad) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(
            x[:, :, :: self.own.stride, :: self.own.stride], (0, 0, 0, 0, self.own.before, self.own.after)
        )


def by_hand(case: Case, bf16: bool, channels_last: bool, compiler: str | None, timm: bool) -> Callable[[], Tensor]:
    """A step as torchvision's reference has it, with the usual improvements where asked for."""
    device = environment.choose().device
    own = resnets.create(case.model)
    images, labels = (each.to(device) for each in case.images(own.spec.classes))
    network: nn.Module = own
    if timm:
        network = importlib.import_module("timm").create_model(case.model, pretrained=False)
        network.load_state_dict(own.state_dict())
    elif not case.model.startswith("cifar"):
        network = importlib.import_module("torchvision.models").get_model(case.model)
        network.load_state_dict(own.state_dict())
    for block in network.modules():
        if isinstance(shortcut := getattr(block, "downsample", None), ZeroPad):
            block.downsample = Sliced(shortcut)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.train().to(device, memory_format=layout)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(network, mode=compiler) if compiler else network

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = nn.functional.cross_entropy(run(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


def by_the_loop(case: Case, memory_limit: str | None = None, capture: bool = False) -> Callable[[], Tensor]:
    """The loop's step, in the environment that it chooses itself."""
    here = environment.choose()
    network = resnets.create(case.model)
    recipe = replace(
        paper.cifar(),
        model=network.spec,
        preprocessing=Preprocessing(resize=case.size, crop=case.size),
        normalize="given",
        batch=case.batch,
        steps=10**6,
        memory_limit=memory_limit,
        cuda_graph=capture,
    )
    allocate_as_runs_do(here.device, limited=memory_limit is not None)
    training = Training(recipe, here, Classification(), network, samples=case.batch)
    memory.keep_within_limit(training)
    images, labels = (each.to(training.device) for each in case.images(network.spec.classes))
    batch = {"images": images, "labels": labels}
    return lambda: training.step(batch)


def ways(case: Case, compiler: str) -> dict[str, tuple[object, ...]]:
    """The arguments of `by_hand` for each peer: bf16, channels last, the compiler's mode, timm's network."""
    found: dict[str, tuple[object, ...]] = {
        DEFAULT: (case, False, False, None, False),
        EAGER: (case, True, True, None, False),
    }
    if compiler != "none":
        found[f"torch.compile ({compiler}) bf16, channels last"] = (case, True, True, compiler, False)
    if torch.cuda.is_available() and importlib.util.find_spec("timm") and not case.model.startswith("cifar"):
        found["timm bf16, channels last"] = (case, True, True, None, True)
    return found


def those_that_run(found: dict[str, Remote]) -> dict[str, Remote]:
    """Those whose process survives a step; the others are named. Ours and the default must."""
    alive = {}
    for way, each in found.items():
        try:
            each.clock(1)
            alive[way] = each
        except EOFError:
            print(f"{way} failed and is left out; its process printed why", flush=True)
            if way in (OURS, DEFAULT):
                raise
    return alive


def main() -> None:
    parser = parser_for(__doc__, 3.0)
    parser.add_argument("--cases", nargs="+", default=CUDA_CASES if torch.cuda.is_available() else CPU_CASES)
    parser.add_argument("--size", type=int, help="of the images, in place of the usual")
    parser.add_argument("--memory", type=float, help="share of eager's peak that ours is to keep within as well")
    mode = "max-autotune" if torch.cuda.is_available() else "default"
    parser.add_argument("--compiler", default=mode, help="torch.compile's mode, or none to leave it out")
    given = parser.parse_args()
    results = []
    for text in given.cases:
        case = Case.parse(text, given.size)
        with contextlib.ExitStack() as stack:
            found: dict[str, Remote] = {
                way: stack.enter_context(remote(by_hand, *arguments))
                for way, arguments in ways(case, given.compiler).items()
            }
            found[OURS] = stack.enter_context(remote(by_the_loop, case))
            if torch.cuda.is_available():
                found[f"{OURS}, captured"] = stack.enter_context(remote(by_the_loop, case, None, True))
            found = those_that_run(found)
            if given.memory:
                limit = round(given.memory * found[EAGER].peak() / 2**20)
                limited = stack.enter_context(remote(by_the_loop, case, f"{limit}MiB"))
                found |= those_that_run({f"{OURS} within {limit} MiB": limited})
            losses = {way: each.result() for way, each in found.items()}
            print(text, losses, flush=True)
            assert max(losses.values()) - min(losses.values()) < 0.05, losses
            contestants = [
                Contestant(way, each.clock, case.batch, ours=way.startswith(OURS), default=way == DEFAULT)
                for way, each in found.items()
            ]
            title = f"Training step of {case.model} at {case.size}, batch {case.batch}"
            result = compete(title, contestants, given.rounds, given.seconds)
            peaks = {way: each.peak() for way, each in found.items()}
        print({way: f"{peak / 2**20:.0f} MiB" for way, peak in peaks.items()}, flush=True)
        results.append(result | {"peak_memory_bytes": peaks})
    report(given.out, "training", results, ())


if __name__ == "__main__":
    main()
