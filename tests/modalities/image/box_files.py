"""Images with boxes for tests, written as VOC, COCO or YOLO; and other data written anew in each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from PIL import Image

from resnets.modalities.base import DatasetSplits, whole
from resnets.modalities.image.datasets.boxes import BoxDataset
from resnets.modalities.image.segments import decode_segment
from tests.conftest import noise

Format = Literal["voc", "coco", "yolo"]
FORMATS: tuple[Format, ...] = ("voc", "coco", "yolo")
CLASSES = {3: "cat", 7: "dog", 8: "hen"}  # COCO's ids have gaps


@dataclass(frozen=True)
class Thing:
    """A box in pixels, with its class; polygons and runs as COCO has them."""

    name: str
    box: tuple[float, float, float, float]
    crowd: bool = False
    difficult: bool = False
    area: float | None = None
    segment: Any = None


@dataclass(frozen=True)
class Scene:
    """An image with things on it; the image is one of noise, unless `file` has another."""

    name: str
    things: Sequence[Thing] = ()
    size: tuple[int, int] = (40, 60)  # height and width
    file: Path | None = None
    id: int | None = None
    ending: str = ".jpg"

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.file is not None:
            shutil.copy(self.file, path)
        else:
            Image.fromarray(noise(self.size[1], self.size[0], seed=sum(self.name.encode()))).save(path)


SCENES: dict[str, list[Scene]] = {
    "train": [
        Scene("a", [Thing("dog", (4, 6, 30, 38)), Thing("cat", (10.5, 0, 60, 20.25))]),
        Scene("b", [Thing("hen", (0, 0, 60, 40)), Thing("cat", (2, 2, 9, 9))]),
        Scene("empty"),
    ],
    "val": [Scene("c", [Thing("cat", (1, 2, 3, 5))])],
}


def write(
    root: Path,
    format: Format,
    scenes: Mapping[str, Sequence[Scene]] | None = None,
    classes: Mapping[int, str] | None = None,
) -> Path:
    """Writes the scenes of each split ("all" for no splits) in a format, in its usual layout; returns the root."""
    scenes, classes = scenes or SCENES, classes or CLASSES
    {"voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo}[format](root, scenes, classes)
    return root


def voc_xml(scene: Scene, things: Sequence[Thing] | None = None) -> str:
    height, width = scene.size
    objects = "".join(
        f"<object><name>{thing.name}</name><difficult>{int(thing.difficult)}</difficult><bndbox>"
        + "".join(f"<{side}>{value!r}</{side}>" for side, value in zip(_SIDES, thing.box, strict=True))
        + "</bndbox></object>\n"
        for thing in (scene.things if things is None else things)
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{scene.name}{scene.ending}</filename>{size}\n{objects}</annotation>\n"


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _write_voc(root: Path, scenes: Mapping[str, Sequence[Scene]], classes: Mapping[int, str]) -> None:
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    for split, listed in scenes.items():
        for scene in listed:
            scene.write(root / "JPEGImages" / f"{scene.name}{scene.ending}")
            (root / "Annotations" / f"{scene.name}.xml").write_text(voc_xml(scene))
        if split != "all":
            (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
            names = "".join(f"{scene.name}\n" for scene in listed)
            (root / "ImageSets" / "Main" / f"{split}.txt").write_text(names)


def coco_json(scenes: Sequence[Scene], classes: Mapping[int, str], first: int = 1) -> dict[str, Any]:
    ids = {name: number for number, name in classes.items()}
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, start=first):
        image = number if scene.id is None else scene.id
        height, width = scene.size
        images.append({"id": image, "file_name": f"{scene.name}{scene.ending}", "height": height, "width": width})
        for thing in scene.things:
            left, top, right, bottom = thing.box
            rows.append({
                "id": 1000 * first + len(rows), "image_id": image, "category_id": ids[thing.name],
                "bbox": [left, top, right - left, bottom - top], "iscrowd": int(thing.crowd),
                "area": (right - left) * (bottom - top) if thing.area is None else thing.area,
                **({"segmentation": thing.segment} if thing.segment else {}),
            })  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in classes.items()]
    return {"images": images, "annotations": rows, "categories": categories}


def _write_coco(root: Path, scenes: Mapping[str, Sequence[Scene]], classes: Mapping[int, str]) -> None:
    first = 1
    for split, listed in scenes.items():
        for scene in listed:
            scene.write(root / ("images" if split == "all" else split) / f"{scene.name}{scene.ending}")
        file = root / ("instances.json" if split == "all" else f"annotations/instances_{split}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(coco_json(listed, classes, first)))
        first += len(listed)


def yolo_lines(scene: Scene, classes: Mapping[int, str]) -> str:
    numbers = {name: number for number, name in enumerate(classes.values())}
    height, width = scene.size
    lines = []
    for thing in scene.things:
        left, top, right, bottom = thing.box
        values = (
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        )
        lines.append(" ".join([str(numbers[thing.name]), *(f"{value:.9f}" for value in values)]))
    return "\n".join(lines) + "\n"


def _write_yolo(root: Path, scenes: Mapping[str, Sequence[Scene]], classes: Mapping[int, str]) -> None:
    for split, listed in scenes.items():
        for scene in listed:
            scene.write(root / "images" / ("" if split == "all" else split) / f"{scene.name}{scene.ending}")
            label = root / "labels" / ("" if split == "all" else split) / f"{scene.name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            if scene.things:
                label.write_text(yolo_lines(scene, classes))
    places = {split: f"images/{split}" for split in scenes if split != "all"}
    names = dict(enumerate(classes.values()))
    (root / "data.yaml").write_text(yaml.safe_dump({"path": ".", **places, "names": names}))


def scenes_of(splits: DatasetSplits, *, crowds: bool = True) -> dict[str, list[Scene]]:
    """What is on the images of some data, to be written in another format.

    Args:
        crowds: whether boxes of groups are among it.
    """
    found: dict[str, list[Scene]] = {}
    for split, part in splits.splits.items():
        found[split] = []
        for index in range(len(part)):
            dataset, number = whole(part, index)
            assert isinstance(dataset, BoxDataset)
            size, target, path = dataset.size(number), dataset.target(number), dataset.path(number)
            segments, rows = dataset.annotations.segments, dataset.annotations.rows(number)
            things = [
                Thing(
                    dataset.classes[label], tuple(box), bool(crowd), area=area,
                    segment=decode_segment(segments[row]) if segments is not None and segments[row] else None,
                )
                for row, label, box, crowd, area in zip(
                    range(rows.start, rows.stop), target["labels"], target["boxes"].tolist(), target["crowds"],
                    target["areas"].tolist(), strict=True,
                )
                if crowds or not crowd
            ]  # fmt: skip
            found[split].append(Scene(path.stem, things, size, path, int(target["image_ids"]), path.suffix))
    return found
