"""C1, C2 and G2: ResNet-50 inference against eager torch, torch.compile and, on the CPU, ONNX Runtime and OpenVINO.

    python benchmarks/inference.py IMAGES [--batches 1 32] [--rounds 5] [--model resnet50] [--size 224]

The weights are random, with batch norms that are not the identity; the images are real, since int8 is calibrated on
them. The logits of every contestant are compared with float32 torch's before anything is timed. Where there is a CUDA
device, it is used: bf16 only, in batches of 1, whose rate is one over the latency, and 256.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import resnets
from resnets.artifacts import runtimes
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read.pillow import ENDINGS, open_image
from resnets.modalities.image.transforms.normalize import normalize
from resnets.modalities.image.transforms.resize import prepare
from resnets.models.resnet import ResNet
from resnets.training import environment
from rounds import Contestant, clock, compete, parser_for, report

CALIBRATION = 100


def with_random_statistics(name: str) -> ResNet:
    """A network whose batch norms have random scales and running means, as training would leave them."""
    network = resnets.create(name).eval()
    assert isinstance(network, ResNet)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.weight.uniform_(0.5, 1.0, generator=g)
                module.running_mean.normal_(0, 0.1, generator=g)
    return network


def read(folder: Path, size: int) -> Tensor:
    """The first `CALIBRATION` images, normalised: (N, 3, size, size)."""
    p = Preprocessing(resize=round(size / 0.875), crop=size)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)[:CALIBRATION]
    return normalize(torch.from_numpy(np.stack([prepare(open_image(path, p.color), p) for path in paths])), p)


def onnx_session(network: ResNet, images: Tensor, folder: Path, *, int8: bool) -> Callable[[Tensor], Tensor]:
    """ONNX Runtime with the graph that torch exports; int8 by its guide: QDQ, signed, per channel."""
    import onnxruntime
    from onnxruntime import quantization

    path = folder / "model.onnx"
    if not path.exists():
        batch = torch.export.Dim("batch")
        torch.onnx.export(network, (images[:2],), path, dynamic_shapes=({0: batch},), dynamo=True, verbose=False)
    if int8:

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.rest = iter([{"x": image[None].numpy()} for image in images])

            def get_next(self) -> Any:
                return next(self.rest, None)

        quantization.quantize_static(
            path,
            folder / "int8.onnx",
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
        path = folder / "int8.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def openvino_request(graph: Any, images: Tensor, batch: int, precision: str | None) -> Callable[[Tensor], Tensor]:
    """OpenVINO tuned by hand: a fixed shape, the latency hint and `precision`."""
    import openvino

    graph = graph.clone()
    graph.reshape([batch, *images.shape[1:]])
    settings = {"PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0])


Variant = tuple[str, Callable[[Tensor], Tensor], bool]  # its name, images to logits, whether it is ours


def eager(network: ResNet) -> Variant:
    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = network(images)
        return logits

    return "torch eager fp32 (default)", run, False


def in_bf16(name: str, module: Any) -> Variant:
    """A peer in bf16 by autocast, channels last."""

    def run(images: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = module(images.contiguous(memory_format=torch.channels_last))
        return logits

    return f"{name} bf16, channels last", run, False


def on_a_device(network: ResNet, x: Tensor, compiler: str) -> list[Contestant]:
    """The contestants that run on a GPU."""
    device = environment.choose().device
    network, x = network.to(device), x.to(device)
    ours = runtimes.build(channels_last(network), "torch", "bf16")
    variants = [eager(network), in_bf16("torch eager", channels_last(network))]
    if compiler != "none":
        compiled = torch.compile(channels_last(network), mode=compiler)
        variants.append(in_bf16(f"torch.compile ({compiler})", compiled))
    return checked(network, x, [*variants, ("resnets torch bf16", torch.inference_mode()(ours.forward), True)], 0.1)


def on_the_cpu(network: ResNet, images: Tensor, x: Tensor, folder: Path, *, int8: bool) -> list[Contestant]:
    """The contestants on the CPU for the batch `x`; int8 is calibrated on `images`."""
    import nncf
    import openvino

    batch = len(x)
    graph = openvino.convert_model(network, example_input=x)
    variants = [eager(network)]
    if int8:
        quantized = nncf.quantize(
            graph, nncf.Dataset([image[None].numpy() for image in images]), subset_size=len(images)
        )
        ours = runtimes.build(network, "openvino", "int8", calibration=lambda: torch.split(images, 1))
        variants += [
            ("OpenVINO int8 (NNCF)", openvino_request(quantized, images, batch, None), False),
            ("ONNX Runtime int8 (QDQ)", onnx_session(network, images, folder, int8=True), False),
            ("resnets openvino int8", ours, True),
        ]
    else:
        variants += [
            in_bf16("torch eager", channels_last(network)),
            in_bf16("torch.compile", torch.compile(channels_last(network))),
            ("ONNX Runtime fp32", onnx_session(network, images, folder, int8=False), False),
            ("OpenVINO bf16", openvino_request(graph, images, batch, "bf16"), False),
            ("resnets folded bf16", runtimes.build(network, "folded", "bf16"), True),
            ("resnets compiled bf16", runtimes.build(network, "compiled", "bf16"), True),
            ("resnets openvino bf16", runtimes.build(network, "openvino", "bf16"), True),
        ]
    return checked(network, x, variants, 0.5 if int8 else 0.1)


def checked(network: ResNet, x: Tensor, variants: list[Variant], bound: float) -> list[Contestant]:
    """The variants as contestants.

    Raises:
        AssertionError: the logits of one differ from float32's by more than `bound` of the largest.
    """
    with torch.no_grad():  # as when timed; torch.compile would recompile for another mode
        expected = network(x)
    for name, run, _ in variants:
        with torch.no_grad():
            away = float((run(x).float() - expected).abs().max() / expected.abs().max())
        print(f"batch {len(x)}: {name} differs by {away:.2%} of the largest logit", flush=True)
        assert away < bound, name
    return [
        Contestant(name, partial(clock, partial(run, x)), len(x), ours=own, default="default" in name)
        for name, run, own in variants
    ]


def channels_last(network: ResNet) -> Any:
    """A copy of `network` in channels-last layout."""
    return copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("images", type=Path)
    cuda = torch.cuda.is_available()
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256] if cuda else [1, 32])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--compiler", default="max-autotune", help="torch.compile's mode on CUDA, or none")
    parser.add_argument("--torch-alone", action="store_true", help="the contestants for a GPU, on any device")
    given = parser.parse_args()
    network, images = with_random_statistics(given.model), read(given.images, given.size)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        alone = cuda or given.torch_alone
        for goal, int8 in (("G2", False),) if alone else (("C1", False), ("C2", True)):
            for batch in given.batches:
                x = images.repeat(-(-batch // len(images)), 1, 1, 1)[:batch]
                if alone:
                    found = on_a_device(network, x, given.compiler)
                else:
                    found = on_the_cpu(network, images, x, Path(folder), int8=int8)
                title = f"{goal}: {given.model} inference at {given.size}, batch {batch}, {'int8' if int8 else 'bf16'}"
                results.append(compete(title, found, given.rounds, given.seconds))
    report(given.out, "inference", results, () if alone else ("openvino", "onnxruntime", "nncf"))


if __name__ == "__main__":
    main()
