"""ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets.artifacts.runtimes.graphs import Graphs, require


class OnnxRuntime(nn.Module):
    """A network that ONNX Runtime executes on the CPU."""

    def __init__(self, graphs: Graphs) -> None:
        super().__init__()
        runtime = require("onnxruntime", "onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self.session: Any = runtime.InferenceSession(
            graphs.find(
                "onnx-fp32.onnx", Path.read_bytes, lambda: _export(graphs), lambda data, path: path.write_bytes(data)
            ),
            options,
            providers=["CPUExecutionProvider"],
        )

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"images": images.contiguous().numpy()})[0])


def _export(graphs: Graphs) -> bytes:
    """The network as ONNX, with dynamic batch, height and width."""
    require("onnxscript", "onnxruntime")
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
