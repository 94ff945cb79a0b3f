"""What executes a trained network: torch as it trained, which is the reference, or something faster.

| runtime     | precision        | what it is                                                        | differs by  |
|-------------|------------------|-------------------------------------------------------------------|-------------|
| torch       | fp32, bf16       | the network as it is, on any device; in fp32 the reference        | 0, 5%       |
| folded      | fp32, bf16       | torch, batch norm folded into the convolutions                    | 0.01%, 5%   |
| compiled    | fp32, bf16       | the same, compiled with frozen weights; needs a C++ compiler      | 0.01%, 5%   |
| openvino    | fp32, bf16, int8 | OpenVINO (extra `export`); int8 calibrated by NNCF on images    | 0.1%, 5%, - |
| onnxruntime | fp32             | ONNX Runtime (extra `export`)                                     | 0.1%        |

Differences are shares of the largest logit, as the tests hold them. int8 is judged by its answers: of a trained CIFAR
net's, at least 98% are those of float32. All but torch run on the CPU.

Each is a torch module that takes normalised (N, C, H, W) float32 and gives (N, classes) float32, so whatever takes a
network takes any of them. Graphs are kept beside the model file, in `NAME.runtimes/`, under the hash of the weights,
each with the hashes of its own files: one that is not as it was written is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets.artifacts.model_file import weights_sha256
from resnets.artifacts.runtime_names import PRECISIONS, RunPrecision, Runtime
from resnets.core.config import encode
from resnets.core.devices import has_bf16
from resnets.core.errors import UsageError, not_installed, unknown
from resnets.models.resnet import ResNet
from resnets.models.surgery import fold_norms
from resnets.nn.modes import evaluation_mode

Calibration = Callable[[], Iterable[Tensor]]  # batches, normalised

_SHAPES = 4  # an input of yet another shape is computed by a graph for all shapes, which is slower


def build(
    network: ResNet,
    runtime: Runtime,
    precision: RunPrecision = "auto",
    *,
    keep: Path | None = None,
    calibration: Calibration | None = None,
    calibrated_on: str = "",
) -> nn.Module:
    """`network`, executed by `runtime`.

    Args:
        network: on the CPU, but for torch; what is made of it computes as in evaluation, whatever its mode.
        precision: "auto" is fp32 for torch; for others bf16 where runtime and hardware have it, else fp32.
        keep: the model file beside which graphs are kept; None keeps none.
        calibration: normalised images for int8.
        calibrated_on: tells a kept graph that was calibrated on these images from those that were on others.

    Raises:
        UsageError: there is no such runtime, it is not installed, or has no such precision here.
    """
    device = next(network.parameters()).device
    if runtime != "torch" and device.type != "cpu":
        raise UsageError(f"Runtime {runtime} computes on the CPU, not on {device}: choose device cpu or runtime torch.")
    chosen = choose(runtime, precision, device)
    if runtime == "torch":
        return network if chosen == "fp32" else _Autocast(network)
    if runtime in ("folded", "compiled"):
        return _Folded(network, chosen, compiled=runtime == "compiled")
    graphs = _Graphs(network, keep)
    with evaluation_mode(network):
        if runtime == "onnxruntime":
            return _OnnxRuntime(graphs)
        return _OpenVINO(graphs, chosen, calibration, calibrated_on)


def choose(runtime: Runtime, precision: RunPrecision, device: torch.device) -> RunPrecision:
    """The precision that `runtime` computes in, never "auto".

    Raises:
        UsageError: it has no such precision, or the hardware has not.
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


class _Autocast(nn.Module):
    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = self.network(images)
        return logits.float()


class _Folded(nn.Module):
    def __init__(self, network: ResNet, precision: str, *, compiled: bool) -> None:
        super().__init__()
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.inner: Any = fold_norms(network).to(self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
                raise UsageError("Runtime compiled needs a C++ compiler (such as g++): install one, or take openvino.")
            self.inner = torch.compile(self.inner, options={"freezing": True})

    @torch.no_grad()  # what inference_mode makes, the compiler does not take
    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.dtype, memory_format=torch.channels_last)
        logits: Tensor = self.inner(images)
        return logits.float()


class _Graphs:
    """Graphs exported from a network, kept beside its model file."""

    def __init__(self, network: ResNet, keep: Path | None) -> None:
        self.network = network
        self.folder: Path | None = None
        if keep is not None:
            spec = json.dumps(encode(network.spec), sort_keys=True)
            digest = hashlib.sha256(f"{weights_sha256(network.state_dict())} {spec}".encode()).hexdigest()[:16]
            self.folder = keep.with_suffix(".runtimes") / digest

    def find(
        self, name: str, read: Callable[[Path], Any], make: Callable[[], Any], write: Callable[[Any, Path], object]
    ) -> Any:
        """What is kept as `name`, else what `make` makes, which is then kept where the disk allows that."""
        if self.folder is not None and _is_as_written(self.folder / name):
            with contextlib.suppress(Exception):  # of another version: made anew
                return read(self.folder / name)
        made = make()
        if self.folder is not None:
            with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=_made(self.folder)) as place:
                write(made, Path(place) / name)
                files = sorted(Path(place).iterdir())
                hashes = _hashes_of(Path(place) / name)
                hashes.write_text("".join(f"{_sha256(file)}  {file.name}\n" for file in files))
                for file in (*files, hashes):  # the hashes last: by them it is found
                    file.replace(self.folder / file.name)
        return made

    def example(self) -> Tensor:
        size = self.network.spec.usual_size
        return torch.zeros(2, self.network.spec.channels, size, size)


def _hashes_of(graph: Path) -> Path:
    """The file of the hashes of `graph` and of what belongs to it, as sha256sum writes and checks them."""
    return graph.with_name(f"{graph.name}.sha256")


def _is_as_written(graph: Path) -> bool:
    """Whether `graph` and what belongs to it are there, with the contents that were written."""
    try:
        lines = [line.split("  ", 1) for line in _hashes_of(graph).read_text().splitlines()]
        kept = {name: digest for digest, name in lines}
        return graph.name in kept and all(_sha256(graph.with_name(name)) == kept[name] for name in kept)
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _need(module: str, runtime: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed(f"Runtime {runtime} needs {module}", "export") from error


class _OpenVINO(nn.Module):
    def __init__(self, graphs: _Graphs, precision: str, calibration: Calibration | None, calibrated_on: str) -> None:
        super().__init__()
        self.openvino = _need("openvino", "openvino")
        self.core = self.openvino.Core()
        self.settings = {"PERFORMANCE_HINT": "LATENCY"}
        if precision != "int8":
            self.settings["INFERENCE_PRECISION_HINT"] = "f32" if precision == "fp32" else "bf16"
        name = "int8" if precision == "int8" else "fp32"
        of = f"-{calibrated_on}" if name == "int8" and calibrated_on else ""
        self.graph = graphs.find(
            f"openvino-{name}{of}.xml",
            self.core.read_model,
            lambda: self._export(graphs, calibration if name == "int8" else None, name),
            lambda graph, path: self.openvino.save_model(graph, path, compress_to_fp16=False),
        )
        self.compiled: dict[tuple[int, ...], Any] = {}

    def _export(self, graphs: _Graphs, calibration: Calibration | None, name: str) -> Any:
        graph = self.openvino.convert_model(graphs.network, example_input=graphs.example())
        if name != "int8":
            return graph
        if calibration is None:
            raise UsageError("int8 is calibrated on images like those that will come: give --calibrate FOLDER.")
        nncf = _need("nncf", "openvino (int8)")
        with contextlib.redirect_stdout(sys.stderr):
            batches = [batch.numpy() for batch in calibration()]
            return nncf.quantize(graph, nncf.Dataset(batches), subset_size=len(batches), fast_bias_correction=True)

    def forward(self, images: Tensor) -> Tensor:
        shape = tuple(images.shape)
        if shape not in self.compiled:
            if len(self.compiled) >= _SHAPES:
                shape = ()
            if shape not in self.compiled:
                graph = self.graph.clone()
                graph.reshape(list(shape) if shape else [-1, images.shape[1], -1, -1])
                self.compiled[shape] = self.core.compile_model(graph, "CPU", self.settings)
        return torch.from_numpy(self.compiled[shape](images.contiguous().numpy())[0])


class _OnnxRuntime(nn.Module):
    def __init__(self, graphs: _Graphs) -> None:
        super().__init__()
        runtime = _need("onnxruntime", "onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self.session: Any = runtime.InferenceSession(
            graphs.find(
                "onnx-fp32.onnx", Path.read_bytes, lambda: _onnx(graphs), lambda data, path: path.write_bytes(data)
            ),
            options,
            providers=["CPUExecutionProvider"],
        )

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"images": images.contiguous().numpy()})[0])


def _onnx(graphs: _Graphs) -> bytes:
    _need("onnxscript", "onnxruntime")
    program = torch.onnx.export(
        graphs.network,
        (graphs.example(),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch"), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data
