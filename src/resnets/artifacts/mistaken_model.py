"""What is given as a model and is something else: data, weights alone, a graph for a runtime, an input."""

from __future__ import annotations

from pathlib import Path

from resnets.modalities.file_signatures import kind_of_content

_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".tar", ".h5", ".keras", ".npz")
_GRAPHS = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "tflite", ".engine": "TensorRT"}


def mistaken_model(path: Path) -> str:
    """Why the existing `path` is no model file or run folder, and what to do; empty where it may be one."""
    if path.is_dir():
        return _mistaken_folder(path)
    if _looks_like_safetensors(path):
        return ""
    ending = path.suffix.lower()
    if ending in _GRAPHS:
        return f"{path} is a graph for {_GRAPHS[ending]}, which runs it. Give the model file that it was exported from."
    if ending in _WEIGHTS:
        return (
            f"{path} holds weights at most, without the network's name, its classes and its preprocessing, and is no "
            f"model file. Load it in Python with resnets.create(NAME, weights={str(path)!r}), or train from it: "
            f"resnets train --data DATA --model NAME --weights {path}"
        )
    if (kind := kind_of_content(path)) is not None:
        noun = "an image" if kind[0] == "image" else "a recording"
        return f"{path} is {noun}, not a model. The model comes first: resnets predict MODEL {path}"
    return ""


def _looks_like_safetensors(path: Path) -> bool:
    """Whether JSON follows the eight bytes of a length, whatever the file is called; what cannot be read may be one."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return True


def _mistaken_folder(path: Path) -> str:
    if path.name == "checkpoint" and (path.parent / "recipe.json").is_file():
        return f"{path} holds the checkpoints of a run: give its folder, {path.parent}."
    if (path / "recipe.json").is_file() or (path / "model.safetensors").exists():
        return ""
    runs = sorted(each.parent for each in path.glob("*/model.safetensors"))
    if runs:
        return (
            f"{path} is no run; runs in it are {', '.join(map(str, runs[:4]))}{' and more' if len(runs) > 4 else ''}."
        )
    return f"{path} is no run: it has no recipe.json. If it is data, train on it: resnets train --data {path}"
