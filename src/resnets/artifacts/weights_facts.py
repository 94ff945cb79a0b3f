"""What weights say of themselves before a network is made: which network they are of, how it reads images, its classes.

Without torch until a file is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.artifacts.pretrained_classes import is_imagenet
from resnets.artifacts.pretrained_locations import (
    SETTINGS,
    SUFFIXES,
    library_of,
    timm_settings,
    weights_folder,
    with_network,
)
from resnets.core.console import note
from resnets.core.errors import FileError, ResnetsError, UsageError, lookup
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.modalities.inputs import AnyInput
from resnets.models.catalog import CATALOG
from resnets.models.imagenet_classes import wordnet_ids
from resnets.models.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, which transformers writes


@dataclass(frozen=True)
class WeightsFacts:
    """What is known of weights.

    Args:
        source: what `--weights` takes, with the name of the network where a library's weights need it.
        name: of the network in the catalog; None where it has no name there.
        spec: of the network, with the classes and input channels of the weights where the file says them, but for that
            of a recipe, which stays as it is.
        preprocessing: from a sample to the input that the network was trained on.
        classes: the names of the rows of its head; of a head over ImageNet, WordNet ids. Empty if they are not known.
        notes: for the person who trains, a line each.
        rows: of its head over classes; None where it has none, or where that is not known.
    """

    source: str
    name: str | None
    spec: Spec
    preprocessing: AnyInput
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    rows: int | None = None


def at_hand(model: Spec | None, recipe_model: Spec) -> WeightsFacts | None:
    """What is known of the first file by name in $RESNETS_CACHE/weights that a network can begin with; None without
    one.

    Those before it are named.

    Args:
        model, recipe_model: as in `facts_of`.
    """
    try:
        found = sorted(str(p) for p in weights_folder().iterdir() if p.suffix in SUFFIXES and p.is_file())
    except OSError:
        return None
    for file in found:
        try:
            return facts_of(file, model, recipe_model=recipe_model)
        except ResnetsError as error:
            note(f"{file} is passed over: {error}")
    return None


def facts_of(
    weights: str | PathLike[str], model: Spec | None = None, *, recipe_model: Spec | None = None
) -> WeightsFacts:
    """What is known of `weights`, a file or run folder on this machine or the name of a library's weights.

    The network is `model`, else that of a model file, else `recipe_model` where the weights fit it, else the first of
    the catalog whose weights have these names and shapes, head and input channels aside.

    Args:
        model: the network that the user names.
        recipe_model: the network of the recipe, which stays where the weights fit it.

    Raises:
        FileError: the file is missing, damaged or unsafe, or no network of the catalog has such weights.
        UsageError: a library's weights need the name of a network, or there are none of that name.
    """
    from resnets.artifacts import pretrained, pretrained_network
    from resnets.artifacts.pretrained_files import read_weights

    source, library = fspath(weights), library_of(weights)
    if library is not None:
        named = model or recipe_model
        source = with_network(source, None if named is None else name_of(named))
    path = pretrained.weights_file(source)
    state, card = read_weights(path)
    notes: list[str] = []
    published = source.partition(":")[2].partition(".")[0] if library in ("torchvision", "timm") else None
    if model is not None:
        spec = model
    elif card is not None:
        spec = _of_card(card.spec, recipe_model, source)
    elif published is None:
        spec, notes = _by_shapes(state, source, recipe_model)
    elif recipe_model is not None and name_of(recipe_model) == published:
        spec = recipe_model
    else:
        spec = lookup(CATALOG, published, "model")
    if card is not None:
        names = pretrained.class_names(card)
        rows = None if names is None else len(names)
        return WeightsFacts(source, name_of(spec), spec, card.preprocessing, names or (), (), rows)
    preprocessing, line = _preprocessing(library, source, path, spec)
    rows = pretrained_network.head_rows(state)
    classes = wordnet_ids() if is_imagenet(rows) else ()
    return WeightsFacts(source, name_of(spec), spec, preprocessing, classes, (*notes, line), rows)


def name_of(spec: Spec) -> str | None:
    """The name in the catalog of the network of `spec`, whatever its classes, channels, head and regularisation."""
    wanted = _plain(spec)
    return next((name for name, each in CATALOG.items() if _plain(each) == wanted), None)


def _plain(spec: Spec) -> Spec:
    """`spec` with what the weights of a classifier leave open at its default."""
    default = Spec()
    norm = "batch" if spec.norm == "frozen" else spec.norm
    return replace(
        spec, classes=default.classes, channels=default.channels, head=default.head, pool=default.pool, norm=norm,
        norm_eps=default.norm_eps, norm_momentum=default.norm_momentum, dropout=0.0, drop_path=0.0, output_stride=None,
    )  # fmt: skip


def _of_card(spec: Spec, recipe_model: Spec | None, source: str) -> Spec:
    """The recipe's network where a model file's weights fit it, as it may have dropout of its own; else the file's."""
    from resnets.artifacts.pretrained import refuse_other_network

    if recipe_model is not None and spec.widths == recipe_model.widths and spec.stem_width == recipe_model.stem_width:
        try:
            refuse_other_network(recipe_model, spec, source)
        except FileError:
            return spec
        return recipe_model
    return spec


def _by_shapes(state: Mapping[str, Tensor], source: str, recipe_model: Spec | None) -> tuple[Spec, list[str]]:
    """The network that weights without a description are of, and a note where several of the catalog have their shapes.

    Raises:
        FileError: none has.
    """
    from resnets.artifacts import pretrained_network

    if recipe_model is not None and pretrained_network.fits(recipe_model, state, source):
        return recipe_model, []
    names = pretrained_network.networks_of(state, source)
    if not names:
        raise FileError(
            f"The weights in {source} are of no network of the catalog (resnets models) as far as their names and "
            "shapes say: name theirs with --model."
        )
    rows, channels = pretrained_network.head_rows(state), pretrained_network.input_channels(state)
    spec = replace(CATALOG[names[0]], channels=channels or 3)
    spec = replace(spec, classes=rows) if rows else spec
    if len(names) == 1:
        return spec, []
    others = ", ".join(names[1:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return spec, [
        f"The weights in {source} have the shapes of {names[0]}, as torchvision or timm has it, and of {others}: taken "
        f"to be of {names[0]}. Another: --model NAME."
    ]


def _preprocessing(library: str | None, source: str, path: Path, spec: Spec) -> tuple[Preprocessing, str]:
    """How images are read for weights without a card, and a line that says where that is from."""
    settings, origin = _settings_beside(path) if library in ("hf", "timm") else (None, "")
    if settings is None and source.startswith(("timm:", "hf:timm/")):
        settings, origin = timm_settings(source.removeprefix("timm:").removeprefix("hf:timm/")), "timm"
    if settings is not None and (found := _from_settings(settings)) is not None:
        return found, f"Images for {source} are read as {origin} says: {found.summary}."
    resize, crop = (256, 224) if spec.usual_size == 224 else (spec.usual_size, spec.usual_size)
    usual = Preprocessing(resize=resize, crop=crop, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    if library == "torchvision":
        return usual, f"Images for {source} are read as torchvision reads them: {usual.summary}."
    return usual, (
        f"{source} does not say how images are read: as for torchvision's weights, {usual.summary}, with ImageNet's "
        "mean and std."
    )


def _settings_beside(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The settings in the JSON beside a file from the Hub, and its name: timm's, or transformers'."""
    for name in SETTINGS:
        try:
            content = json.loads((path.parent / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and (found := content.get("pretrained_cfg", content)) and "image_mean" in found:
            side = found.get("size", 224)
            side = side.get("shortest_edge", side.get("height")) if isinstance(side, dict) else side
            filters = _FILTERS.get(found.get("resample", 3))
            return {
                "mean": found["image_mean"], "std": found.get("image_std"), "input_size": (3, side, side),
                "crop_pct": found.get("crop_pct") or 0.875, "interpolation": filters,
            }, f"the {name} beside it"  # fmt: skip
        if isinstance(content, dict) and isinstance(content.get("pretrained_cfg"), dict):
            return content["pretrained_cfg"], f"the {name} beside it"
    return None, ""


def _from_settings(settings: Mapping[str, Any]) -> Preprocessing | None:
    """timm's settings of weights as preprocessing; None where they are not of images of three channels."""
    try:
        crop = int(settings["input_size"][-1])
        interpolation = settings.get("interpolation", "bicubic")
        return Preprocessing(
            resize=max(crop, int(crop / float(settings["crop_pct"]))),  # rounded down, as timm does
            crop=crop,
            interpolation=interpolation if interpolation in _INTERPOLATIONS else "bicubic",
            mean=tuple(map(float, settings["mean"])),
            std=tuple(map(float, settings["std"])),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError, UsageError):
        return None
