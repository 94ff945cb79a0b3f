"""The gradients of convolutions' weights as matrix products, next to oneDNN's, in bf16.

    python benchmarks/weight_gradients.py [--batch 128] [--shapes 512:512:4:3:1 ...] [--precision bf16]

A shape is inputs:outputs:side:kernel:stride of a square map. The default are the 3 x 3 convolutions of ResNet-18 from
256 outputs on, at 64, 128 and 224 px. `resnets.training.weight_gradients` takes the products where this is faster.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from resnets.training.weight_gradients import weight_gradient
from rounds import Contestant, allocate_as_runs_do, clock, compete, parser_for, report

SHAPES = [
    f"{channels}:{channels}:{side}:3:1" for channels, sides in ((256, (4, 8, 14)), (512, (2, 4, 7))) for side in sides
]
SHAPES += [
    f"{channels}:{2 * channels}:{side}:3:2"
    for channels, sides in ((128, (8, 16, 28)), (256, (4, 8, 14)))
    for side in sides
]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main() -> None:
    parser = parser_for(__doc__, seconds=0.5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--precision", choices=DTYPES, default="bf16")
    given = parser.parse_args()
    allocate_as_runs_do("cpu")
    results = [
        measure(shape, given.batch, DTYPES[given.precision], given.rounds, given.seconds) for shape in given.shapes
    ]
    report(given.out, "weight-gradients", results, [], batch=given.batch, precision=given.precision)


def measure(shape: str, batch: int, dtype: torch.dtype, rounds: int, seconds: float) -> dict[str, Any]:
    inputs, outputs, side, kernel, stride = map(int, shape.split(":"))
    steps, padding, spread = (stride, stride), (kernel // 2, kernel // 2), (1, 1)
    g = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=g).to(dtype, memory_format=torch.channels_last)

    images, weight = drawn(batch, inputs, side, side), drawn(outputs, inputs, kernel, kernel)
    gradient = drawn(*torch.conv2d(images, weight, None, steps, padding).shape)

    def by_products() -> torch.Tensor:
        return weight_gradient(gradient, images, weight.shape, steps, padding, spread)

    def by_onednn() -> torch.Tensor:
        found: torch.Tensor = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, steps, padding, spread, False, (0, 0), 1, (False, True, False)
        )[1]
        return found

    own, peer = by_products().float(), by_onednn().float()
    assert (own - peer).norm() <= 0.01 * peer.norm()
    contestants = [
        Contestant("matrix products", partial(clock, by_products), batch, ours=True),
        Contestant("oneDNN", partial(clock, by_onednn), batch, default=True),
    ]
    title = f"{inputs} to {outputs} channels, {side} x {side}, kernel {kernel}, stride {stride}, batch {batch}"
    return compete(title, contestants, rounds, seconds)


if __name__ == "__main__":
    main()
