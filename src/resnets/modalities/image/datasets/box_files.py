"""Images and the files that annotate them, matched by their names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from resnets.modalities.faults import Faults, refuse
from resnets.modalities.file_names import normalized_name
from resnets.modalities.listing import FileKind, Listing

IMAGE_FOLDERS = frozenset({"jpegimages", "images", "image", "imgs", "img"})
ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls", "labels", "label"})
_NO_PHOTOGRAPHS = ("segmentation",)  # what folders of other images begin with


@dataclass
class Matched:
    """Pairs by their common name, such as "train/1" of train/images/1.jpg and train/annotations/1.xml.

    Args:
        images, annotations: by that name.
        without: images that no file annotates, and files that annotate no image.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    annotations: dict[str, bytes] = field(default_factory=dict)
    without: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))


def match_files(root: Path, images: FileKind, annotations: FileKind, faults: Faults | None) -> Matched:
    """The images below `root` and the files beside them, or in a folder of their own, that have the same names but for
    their endings.

    A folder in `IMAGE_FOLDERS` or `ANNOTATION_FOLDERS` is no part of the name. What is left is matched by the name of
    the file alone, where that is in one place only.

    Raises:
        DataError: two images, or two files that annotate, have one name.
    """
    found = Matched()
    of_images, of_files = (_by_name(root, kind, faults) for kind in (images, annotations))
    for name in [name for name in of_files if name in of_images]:
        found.images[name], found.annotations[name] = of_images.pop(name), of_files.pop(name)
    stems = _by_stem(of_images)
    for stem, names in _by_stem(of_files).items():
        if len(names) == 1 and len(stems.get(stem, ())) == 1:
            name = stems[stem][0]
            found.images[name], found.annotations[name] = of_images.pop(name), of_files.pop(names[0])
    found.without = (list(of_images.values()), list(of_files.values()))
    return found


def _by_name(root: Path, kind: FileKind, faults: Faults | None) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in Listing(root, kind).files():
        *folders, last = os.fsdecode(normalized_name(file)).split("/")
        if any(folder.lower().startswith(_NO_PHOTOGRAPHS) for folder in folders):
            continue
        kept = [each for each in folders if each.lower() not in IMAGE_FOLDERS | ANNOTATION_FOLDERS]
        name = "/".join([*kept, os.path.splitext(last)[0]])
        if name in found:
            path, other = root / os.fsdecode(file), os.fsdecode(found[name])
            message = f"{root} holds {other} and {os.fsdecode(file)}: it is ambiguous which of them {name} is."
            refuse(faults, "name_collision", path, f"{message} Rename or remove one.")
            continue
        found[name] = file
    return found


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[name.rpartition("/")[2]].append(name)
    return found
