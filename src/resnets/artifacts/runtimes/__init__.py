"""Runtimes: what executes a trained network. torch, as in training, is the reference; the others are faster.

| runtime     | precision        | what it is                                                        | differs by  |
|-------------|------------------|-------------------------------------------------------------------|-------------|
| torch       | fp32, bf16       | the network as it is, on any device; in fp32 the reference        | 0, 5%       |
| folded      | fp32, bf16       | torch, batch norm folded into the convolutions                    | 0.01%, 5%   |
| compiled    | fp32, bf16       | the same, compiled with frozen weights; needs a C++ compiler      | 0.01%, 5%   |
| openvino    | fp32, bf16, int8 | OpenVINO (extra `export`); int8 is calibrated on images by NNCF   | 0.1%, 5%, - |
| onnxruntime | fp32             | ONNX Runtime (extra `export`)                                     | 0.1%        |

Differences are fractions of the largest logit, and tests hold them. For int8 they hold the predictions: at least 98% of
a trained CIFAR network's are those of float32. All runtimes but torch use the CPU.

Each runtime is a torch module that maps normalised (N, C, H, W) float32 to (N, classes) float32, so that it stands
wherever a network does.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from resnets.artifacts.runtime_names import PRECISIONS, RunPrecision, Runtime
from resnets.artifacts.runtimes.folded import Autocast, Folded
from resnets.artifacts.runtimes.graphs import Graphs
from resnets.artifacts.runtimes.onnxruntime import OnnxRuntime
from resnets.artifacts.runtimes.openvino import Calibration, OpenVINO
from resnets.core.devices import has_bf16
from resnets.core.errors import UsageError, unknown
from resnets.nn.modes import evaluation_mode

ON_CPU = (Folded, OnnxRuntime, OpenVINO)  # modules that compute on the CPU alone


def build(
    network: nn.Module,
    runtime: Runtime,
    precision: RunPrecision = "auto",
    *,
    keep: Path | None = None,
    calibration: Calibration | None = None,
    calibrated_on: str = "",
) -> nn.Module:
    """`network` as a module that `runtime` executes; it computes in evaluation mode.

    Args:
        network: on the CPU, unless `runtime` is torch.
        precision: "auto" is fp32 for torch; for the others bf16 where runtime and hardware have it, else fp32.
        keep: the model file next to which exported graphs are kept; None keeps none.
        calibration: batches of normalised images for int8.
        calibrated_on: a hash of the images for int8, so that a kept graph is used for the same images only.

    Raises:
        UsageError: there is no such runtime, it is not installed, or has no such precision here.
    """
    device = next(network.parameters()).device
    if runtime != "torch" and device.type != "cpu":
        raise UsageError(f"Runtime {runtime} computes on the CPU, not on {device}: choose device cpu or runtime torch.")
    chosen = choose(runtime, precision, device)
    if runtime == "torch":
        return network if chosen == "fp32" else Autocast(network)
    if runtime in ("folded", "compiled"):
        return Folded(network, chosen, compiled=runtime == "compiled")
    graphs = Graphs(network, keep)
    with evaluation_mode(network):
        if runtime == "onnxruntime":
            return OnnxRuntime(graphs)
        return OpenVINO(graphs, chosen, calibration, calibrated_on)


def choose(runtime: Runtime, precision: RunPrecision, device: torch.device) -> RunPrecision:
    """The precision that `runtime` computes in, which is not "auto".

    Raises:
        UsageError: the runtime or the hardware does not have this precision.
    """
    if runtime not in PRECISIONS:
        raise unknown("runtime", runtime, PRECISIONS)
    known = PRECISIONS[runtime]
    if precision == "auto":
        return "bf16" if runtime != "torch" and "bf16" in known and has_bf16(device) else "fp32"
    if precision not in known:
        others = [name for name, has in PRECISIONS.items() if precision in has]
        raise UsageError(f"Runtime {runtime} has {' and '.join(known)}; for {precision} take {' or '.join(others)}.")
    if precision == "bf16" and not has_bf16(device):
        raise UsageError(f"Device {device.type} does not compute in bf16: choose another precision.")
    return precision
