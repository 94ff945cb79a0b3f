"""Where weights that have a name in a library or on the Hub lie on this machine, and where to put them.

"torchvision:NETWORK", "timm:NETWORK.TAG" and "hf:OWNER/NAME" are looked for in $RESNETS_CACHE/weights, in torch's cache
of downloads and in Hugging Face's, in this order. Nothing is asked of the network where a file is there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from resnets.core.errors import FileError, UsageError, unknown
from resnets.core.files import write_bytes
from resnets.modalities.cache import cache_folder

LIBRARIES = ("torchvision", "timm", "hf")
SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin")
_IN_REPOSITORY = ("model.safetensors", "pytorch_model.bin")
SETTINGS = ("config.json", "preprocessor_config.json")  # of how images are read: timm's, and transformers'
_SECONDS = 10  # without an answer from the Hub


def library_of(weights: str | os.PathLike[str]) -> str | None:
    """The library that `weights` names, of `LIBRARIES`; None for the path of a file or folder."""
    library, colon, _ = os.fspath(weights).partition(":")
    return library if colon and library in LIBRARIES and not os.path.lexists(weights) else None


def weights_folder() -> Path:
    """The folder for weights: `weights` in $RESNETS_CACHE, else in the user's cache folder."""
    return cache_folder() / "weights"


def with_network(weights: str, network: str | None) -> str:
    """The whole name of weights of a library: "timm:a1_in1k" of the network "resnet50" is "timm:resnet50.a1_in1k".

    Args:
        network: its name in the catalog, which the libraries share; None where it is not known.

    Raises:
        UsageError: the name of the network is needed and not known, or none is given of a repository on the Hub.
    """
    library, _, rest = weights.partition(":")
    rest = rest.removeprefix(f"{library}/").strip()
    if library == "hf":
        if rest.count("/") != 1 or not all(part.strip(".") for part in rest.split("/")):
            raise UsageError(f"{weights} names no repository of the Hub: give hf:OWNER/NAME.")
        return f"hf:{rest}"
    name, point, tag = rest.partition(".")
    if "_Weights" in name:  # torchvision's own names, such as ResNet50_Weights.IMAGENET1K_V2
        name, point, tag = "", "", tag
    elif not point and not _is_network(name):
        name, tag = "", name
    name = name or network or ""
    if not name:
        raise UsageError(
            f"{weights} is the name of weights for several networks: say which, such as {library}:resnet50"
            f"{f'.{tag}' if tag else ''}."
        )
    return f"{library}:{name}{f'.{tag}' if tag else ''}"


def locate(weights: str) -> Path:
    """The file of weights of a library on this machine, downloaded where it is not there.

    Args:
        weights: as `with_network` returns it.

    Raises:
        UsageError: there are no such weights.
        FileError: they are not here and could not be downloaded; the message says which file to put where.
    """
    library, _, rest = weights.partition(":")
    return _of_torchvision(rest) if library == "torchvision" else _of_hub(library, rest)


def _is_network(name: str) -> bool:
    from resnets.models.catalog import CATALOG

    return name in CATALOG


def _of_torchvision(rest: str) -> Path:
    from torchvision import models

    name, _, tag = rest.partition(".")
    if name not in models.list_models():
        raise UsageError(f"torchvision has no weights for {name}.")
    options = models.get_model_weights(name)
    if tag and tag not in options.__members__:
        raise unknown(f"torchvision weights of {name}", tag, options.__members__)
    chosen = options[tag or "DEFAULT"]
    file = os.path.basename(chosen.url)
    if found := _first((weights_folder() / file, _torch_cache() / file)):
        return found

    def download() -> None:
        chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)

    reason = _tried(download)
    if found := _first([_torch_cache() / file]):
        return found
    raise _absent(f"torchvision's weights {name}.{chosen.name}", reason, chosen.url, weights_folder() / file)


def _of_hub(library: str, rest: str) -> Path:
    """The file of weights in the repository of the Hub that `rest` names; timm's are there as timm/NETWORK.TAG."""
    if library == "timm":
        rest = _with_default_tag(rest)
    repository = f"timm/{rest}" if library == "timm" else rest
    if found := _first(_in_hub_caches(library, repository)):
        return found

    target = weights_folder() / repository / _IN_REPOSITORY[0]
    address = f"{os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'}/{repository}/resolve/main/"
    reason = _tried(lambda: _from_hub(address, target.parent))
    if found := _first(_in_hub_caches(library, repository)):
        return found
    what = f"timm's weights {rest}" if library == "timm" else f"The weights of {repository}"
    raise _absent(what, reason, address + _IN_REPOSITORY[0], target)


def _with_default_tag(rest: str) -> str:
    """A network's name of timm's with the tag of its weights: the default where none is given.

    Raises:
        UsageError: timm, which knows the default, is not installed.
    """
    if "." in rest:
        return rest
    settings = _timm_settings(rest)
    if settings is None or not settings.tag:
        here = [found.name for found in _hub_cache().glob(f"models--timm--{rest}.*")]
        if len(here) == 1:
            return here[0].removeprefix("models--timm--")
        raise UsageError(f"timm:{rest} needs the tag of its weights, such as timm:{rest}.a1_in1k.")
    return f"{rest}.{settings.tag}"


def _timm_settings(name: str) -> Any:
    """What timm says of the weights NETWORK.TAG; None where it is not installed or knows none."""
    if importlib.util.find_spec("timm") is None:
        return None
    from timm.models import get_pretrained_cfg

    try:
        return get_pretrained_cfg(name)
    except (RuntimeError, KeyError, ValueError):
        return None


def timm_settings(name: str) -> dict[str, Any] | None:
    """timm's settings of the weights NETWORK.TAG, such as "mean" and "crop_pct"; None where it is not installed."""
    found = _timm_settings(name)
    return None if found is None else dict(found.to_dict())


def _in_hub_caches(library: str, repository: str) -> Iterator[Path]:
    """Where a file of the repository may lie, the likeliest first."""
    folder, name = weights_folder(), repository.rpartition("/")[2]
    yield from (folder / repository / file for file in _IN_REPOSITORY)
    if repository.startswith("timm/"):
        yield from (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    for snapshot in _snapshots(repository):
        yield from (snapshot / file for file in _IN_REPOSITORY)
    if library == "timm" and (settings := _timm_settings(name)) is not None and settings.url:
        yield _torch_cache() / os.path.basename(settings.url)


def _hub_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))


def _snapshots(repository: str) -> list[Path]:
    """The folders of the versions of a repository in Hugging Face's cache, the current one first."""
    folder = _hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        current = (folder / "refs" / "main").read_text().strip()
    except OSError:
        current = ""
    return sorted((folder / "snapshots").glob("*"), key=lambda found: (found.name != current, found.name))


def _torch_cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _from_hub(address: str, folder: Path) -> None:
    """Downloads the weights of a repository of the Hub, and what says how images are read, into `folder`.

    Raises:
        OSError: it is not possible.
    """
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise OSError("HF_HUB_OFFLINE is set")

    def fetch(name: str) -> None:
        with urllib.request.urlopen(address + name, timeout=_SECONDS) as answer:
            write_bytes(folder / name, answer.read())

    try:
        fetch(_IN_REPOSITORY[0])
    except urllib.error.HTTPError:  # the repository is not there, or has no such file
        fetch(_IN_REPOSITORY[1])
    for name in SETTINGS:
        with contextlib.suppress(urllib.error.HTTPError):
            fetch(name)


def _tried(download: Callable[[], object]) -> str:
    """Why `download` failed; empty where it did not."""
    try:
        download()
    except Exception as error:  # what downloaders raise
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return ""


def _absent(what: str, reason: str, url: str, target: Path) -> FileError:
    return FileError(
        f"{what} are not here and could not be downloaded ({reason}). Fetch {url} elsewhere and put it here as {target}"
    )
