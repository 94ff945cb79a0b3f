"""The names of runtimes and their precisions; unlike `artifacts.runtimes`, this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Runtime = Literal["torch", "folded", "compiled", "openvino", "onnxruntime"]
RunPrecision = Literal["auto", "fp32", "bf16", "int8"]

PRECISIONS: Mapping[Runtime, tuple[RunPrecision, ...]] = {
    "torch": ("fp32", "bf16"),
    "folded": ("fp32", "bf16"),
    "compiled": ("fp32", "bf16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32",),
}
