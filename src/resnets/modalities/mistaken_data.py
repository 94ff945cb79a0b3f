"""What is given as data and is something else: an archive, one image, a model, a run, or the folder next to it."""

from __future__ import annotations

import os
import shlex
from itertools import islice
from pathlib import Path

from resnets.modalities.base import NOUNS
from resnets.modalities.file_signatures import kind_of_content

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_OTHER_ARCHIVES = {".7z": "7z x", ".rar": "unrar x"}
_MODELS = (".safetensors", ".pth", ".pt", ".ckpt", ".onnx", ".bin")
_TABLES = {
    ".parquet": "pandas.read_parquet",
    ".xlsx": "pandas.read_excel",
    ".tsv": "pandas.read_table",
    ".json": "pandas.read_json",
}


def unpack_command(path: Path) -> str:
    """The command that unpacks an archive into a folder beside it; empty where `path` is none, by its ending."""
    name = path.name.lower()
    ending = next((each for each in (".zip", *_TARS, *_OTHER_ARCHIVES) if name.endswith(each)), None)
    if ending is None or path.is_dir():
        return ""
    archive, folder = shlex.quote(str(path)), shlex.quote(str(path)[: -len(ending)])
    if ending == ".zip":
        return f"python -m zipfile -e {archive} {folder}"
    if ending in _TARS:
        return f"mkdir {folder} && tar -xf {archive} -C {folder}"
    return f"{_OTHER_ARCHIVES[ending]} {archive}"


def mistaken_data(path: Path) -> str:
    """Why `path` is no data and what to give in its place; empty where it may be data."""
    try:
        return _mistaken_folder(path) if path.is_dir() else _mistaken_file(path)
    except OSError:  # which opening it will name
        return ""


def _mistaken_file(path: Path) -> str:
    if command := unpack_command(path):
        return f"{path} is an archive. Unpack it and give the folder: {command}"
    ending = path.suffix.lower()
    if ending in _MODELS:
        return f"{path} is a file of a model, not data. To start from its weights: --weights {path}"
    if ending in _TABLES:
        return (
            f"{path} is not a table that is read. Save it as CSV, in Python: import pandas; "
            f"{_TABLES[ending]}({str(path)!r}).to_csv({path.stem + '.csv'!r}, index=False)"
        )
    kind = kind_of_content(path)
    if kind is not None:
        return (
            f"{path} is one {NOUNS[kind[0]]}, not data to learn from: give a folder of class folders. To predict it: "
            f"resnets predict MODEL {path}"
        )
    return ""


def _mistaken_folder(path: Path) -> str:
    is_run = (path / "recipe.json").is_file() and any(
        (path / name).exists() for name in ("model.safetensors", "checkpoint", "log.jsonl")
    )
    if is_run and not (path / "train").is_dir():
        return (
            f"{path} is the folder of a run, not data. To go on with it: resnets resume {path}; to evaluate it: "
            f"resnets evaluate {path}; to start from its weights: --weights {path}"
        )
    inner = only_folder(path)
    has = next((name for name in ("train", "Annotations", "annotations") if inner and (inner / name).is_dir()), None)
    if inner is not None and has is not None:
        return f"{path} holds nothing but {inner.name}, which has {has}/: give {inner}."
    return ""


def only_folder(path: Path) -> Path | None:
    """The folder in `path`, where there is one only and no visible file beside it."""
    with os.scandir(path) as entries:  # a folder of data may have a million: two are enough
        visible = list(islice((each for each in entries if not each.name.startswith((".", "__"))), 2))
    return Path(visible[0].path) if len(visible) == 1 and visible[0].is_dir() else None


def folder_hint(path: Path) -> str:
    """Where class folders may be, of a folder that has none: above it, or in an archive in it; else empty."""
    for entry in sorted(os.scandir(path), key=lambda each: each.name):
        if command := unpack_command(Path(entry.path)):
            return f" It holds {entry.name}; unpack it first: {command}"
    siblings = [entry for entry in os.scandir(path.resolve().parent) if entry.is_dir() and entry.name[0] != "."]
    if len(siblings) > 1 and any(kind_of_content(entry.path) for entry in os.scandir(path) if entry.is_file()):
        return f" If it is a class itself, give the folder above it: {path.parent}"
    return ""
