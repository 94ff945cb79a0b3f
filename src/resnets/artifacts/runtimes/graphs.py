"""Exported graphs of a network, kept next to its model file in `NAME.runtimes/HASH/`.

The folder's name is a hash of the weights and the spec. With each graph is a file of SHA-256 hashes; a graph that does
not match them is exported again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets.artifacts.model_file import weights_sha256
from resnets.core.config import encode
from resnets.core.errors import not_installed
from resnets.models.resnet import backbone_of


class Graphs:
    """The exported graphs of `network`.

    Args:
        keep: the model file next to which graphs are kept; None keeps none.
    """

    def __init__(self, network: nn.Module, keep: Path | None) -> None:
        self.network = network
        self.folder: Path | None = None
        if keep is not None:
            spec = json.dumps(encode(backbone_of(network).spec), sort_keys=True)
            digest = hashlib.sha256(f"{weights_sha256(network.state_dict())} {spec}".encode()).hexdigest()[:16]
            self.folder = keep.with_suffix(".runtimes") / digest

    def find(
        self, name: str, read: Callable[[Path], Any], export: Callable[[], Any], write: Callable[[Any, Path], object]
    ) -> Any:
        """The graph that is kept as `name`, else the one that `export` returns, which is kept if the disk allows it.

        Args:
            read, write: read a graph from a file, and write it to one (and to others whose names begin alike).
        """
        if self.folder is not None and _matches_hashes(self.folder / name):
            with contextlib.suppress(Exception):  # written by another version of the runtime: exported again
                return read(self.folder / name)
        graph = export()
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._keep(name, lambda path: write(graph, path))
        return graph

    def _keep(self, name: str, write: Callable[[Path], object]) -> None:
        assert self.folder is not None
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            write(Path(temporary) / name)
            files = sorted(Path(temporary).iterdir())
            hashes = _hashes_of(Path(temporary) / name)
            hashes.write_text("".join(f"{_sha256(file)}  {file.name}\n" for file in files))
            for file in (*files, hashes):  # the hashes last, since a graph without them is not used
                file.replace(self.folder / file.name)

    def example(self) -> Tensor:
        """An input of the network's usual size, (2, channels, size, size)."""
        spec = backbone_of(self.network).spec
        return torch.zeros(2, spec.channels, spec.usual_size, spec.usual_size)


def require(module: str, runtime: str) -> Any:
    """The imported `module`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed(f"Runtime {runtime} needs {module}", "export") from error


def _hashes_of(graph: Path) -> Path:
    """The file with the hashes of `graph` and of the files that belong to it, in the format of sha256sum."""
    return graph.with_name(f"{graph.name}.sha256")


def _matches_hashes(graph: Path) -> bool:
    """Whether `graph` and the files that belong to it exist with the contents that were written."""
    try:
        lines = [line.split("  ", 1) for line in _hashes_of(graph).read_text().splitlines()]
        kept = {name: digest for digest, name in lines}
        return graph.name in kept and all(_sha256(graph.with_name(name)) == kept[name] for name in kept)
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
