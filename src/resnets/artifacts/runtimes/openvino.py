"""OpenVINO, with int8 quantisation by NNCF."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from resnets.artifacts.runtimes.graphs import Graphs, require
from resnets.core.errors import UsageError

Calibration = Callable[[], Iterable[Tensor]]  # gives batches of normalised images

_SHAPES = 4  # graphs compiled for one shape each; inputs of further shapes share a slower graph for all shapes


class OpenVINO(nn.Module):
    """A network that OpenVINO executes on the CPU; see `artifacts.runtimes.build` for the arguments."""

    def __init__(self, graphs: Graphs, precision: str, calibration: Calibration | None, calibrated_on: str) -> None:
        super().__init__()
        self.openvino = require("openvino", "openvino")
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

    def _export(self, graphs: Graphs, calibration: Calibration | None, name: str) -> Any:
        graph = self.openvino.convert_model(graphs.network, example_input=graphs.example())
        if name != "int8":
            return graph
        if calibration is None:
            raise UsageError("int8 is calibrated on images like those of later predictions: give --calibrate FOLDER.")
        nncf = require("nncf", "openvino (int8)")
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
