"""Folders of classes, listed without refusing any: what is left out, and which classes have no files or no place."""

from __future__ import annotations

import os
from pathlib import Path

from resnets.checks.inventory import Inventory, Sample
from resnets.core.errors import DataError
from resnets.modalities.base import SplitName
from resnets.modalities.class_folders import flat_files
from resnets.modalities.class_names import same_names
from resnets.modalities.file_signatures import kind_of_content
from resnets.modalities.listing import KINDS, FileKind, Listing, first_kind
from resnets.modalities.table_cells import SPLIT_NAMES

LISTED = frozenset(
    ("hidden", "loose_file", "not_an_image", "empty_class", "unknown_class", "missing_file", "name_collision")
)


def list_folders(root: Path) -> Inventory:
    """The files of `root`, laid out as `class_folders.open_class_folders` reads them.

    Raises:
        DataError: there are no class folders.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give one that holds <class>/*.jpg, or train/, val/ and test/ with such.")
    kind = first_kind(root) or KINDS["image"]
    modality = next(name for name, each in KINDS.items() if each is kind)
    found = Inventory(root, "folders", modality)
    if not (root / "train").is_dir():
        _add_split(found, root, "all", kind)
        return found
    _add_split(found, root / "train", "train", kind)
    taken: dict[SplitName, str] = {"train": "train"}
    for name, split in SPLIT_NAMES.items():
        if name == "train" or not (root / name).is_dir():
            continue
        if split in taken:
            found.add("loose_file", root / name, f"{root / name} is left out: {taken[split]} is the split {split}.")
        else:
            taken[split] = name
            _add_split(found, root / name, split, kind)
    above = Listing(root, kind, every_name=True)
    for name in above.classes:
        if name not in SPLIT_NAMES:
            found.add("loose_file", root / name, f"{root / name} is left out: it is beside train, and no split.")
    _add_left_out(found, above, "no split")
    return found


def _add_split(found: Inventory, folder: Path, split: SplitName, kind: FileKind) -> None:
    """Adds the files of the split in `folder`, a folder a class."""
    listing = Listing(folder, kind, every_name=True)
    learnt_from = split in ("train", "all")
    flat = flat_files(folder, found.classes, kind) if split == "test" else 0
    if flat or not listing.classes:
        if learnt_from:
            raise DataError(f"{folder} holds no class folders: put the {kind.plural} into {folder}/<class>/.")
        count = flat or listing.loose.count
        if not count:
            found.add("empty_class", folder, f"{folder} holds no class folders: fill it, or take it out.")
            return
        detail = f"{folder} has no class folders: its {count:,} {kind.plural} have no labels."
        found.add("loose_file", folder, f"{detail} The split {split} is left out.")
        return
    if learnt_from:
        found.classes = listing.classes
    try:
        own = same_names(listing.classes, found.classes, str(folder))
    except DataError as error:  # names that could be several
        own = {name: name for name in listing.classes if name in found.classes}
        found.add("name_collision", folder, str(error), as_severity="error")
    prefix = os.path.relpath(folder, found.root)
    prefix = "" if prefix == "." else f"{prefix}/"
    for name in listing.classes:
        path = folder / name
        if name not in own:
            found.add("unknown_class", path, f"{path} is a class that train does not have.")
            continue
        files = listing.files(name)
        found.class_paths[split, own[name]] = str(path)
        found.samples += [Sample(f"{prefix}{os.fsdecode(file)}", split, own[name]) for file in files]
        if not files:
            severity = "error" if learnt_from else "warning"
            found.add("empty_class", path, f"{path} is a class without {kind.plural}.", as_severity=severity)
    _add_left_out(found, listing, "no class")


def _add_left_out(found: Inventory, listing: Listing, nowhere: str) -> None:
    """Adds a problem for each entry that a listing left out."""
    root, kind = listing.root, listing.kind
    for name in listing.hidden.first + listing.invisible.first:
        found.add("hidden", root / name, f"{root / name} is hidden by its name, and left out.")
    for name in listing.loose.first:
        found.add("loose_file", root / name, f"{root / name} is in {nowhere}, and left out.")
    mixed = set(listing.mixed.first)
    for name in listing.other.first:
        path = root / name
        if name in mixed:
            detail = f"{path} is a sample of another kind than the {kind.plural}: put it into a folder of its own."
            found.add("not_an_image", path, detail, as_severity="error")
            continue
        content = kind_of_content(path)
        if content is not None and KINDS[content[0]] is kind:
            detail = f"{path} has the content of {content[1]}, and is left out for its ending: rename it."
        else:
            detail = f"{path} is not one of the {kind.plural} by its ending, and left out."
        found.add("not_an_image", path, detail)
    for name in listing.dangling.first:
        found.add("missing_file", root / name, f"{root / name} is a link that leads nowhere.", as_severity="warning")
    for name in listing.special.first:
        found.add("not_an_image", root / name, f"{root / name} is a pipe, socket or device, and left out.")
    for name in listing.repeated.first:
        found.add("loose_file", root / name, f"{root / name} is a link to a folder that is read already.")
