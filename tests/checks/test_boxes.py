"""Faults of images with boxes, found by file and box in every format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import resnets
from resnets.checks.page import write_page
from resnets.checks.problem import Problem
from tests.checks.scenes import check, scene
from tests.command_line import call
from tests.conftest import truncate
from tests.modalities.image.box_files import FORMATS, Format, Scene, Thing, voc_xml, write

WIDTH, HEIGHT = 96, 72
CAT, DOG = Thing("cat", (10, 12, 50, 60)), Thing("dog", (40.5, 8, 90, 40))
HEN = Thing("hen", (20, 20, 70, 64))


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> Format:
    return request.param  # type: ignore[no-any-return]


def farm(root: Path, format: Format, things: Sequence[Thing] = (CAT, DOG), **more: Sequence[Thing]) -> Path:
    """Images with boxes in which nothing is wrong, but for the `things` of the image a."""
    (root / "photos").mkdir(parents=True)
    boxes = {"a": things, "b": (CAT, HEN), "c": (DOG, HEN), "v": (CAT, DOG), "w": (HEN,), **more}
    scenes: dict[str, list[Scene]] = {"train": [], "val": []}
    for seed, (name, listed) in enumerate(boxes.items()):
        file = root / "photos" / f"{name}.jpg"
        scene(seed, WIDTH, HEIGHT).save(file, quality=95)
        scenes["val" if name in "vw" else "train"].append(Scene(name, listed, (HEIGHT, WIDTH), file, seed + 1))
    return write(root / "farm", format, scenes)


def file_of(root: Path, format: Format) -> str:
    """The file that annotates the image a."""
    names = {"voc": "Annotations/a.xml", "coco": "annotations/instances_train.json", "yolo": "labels/train/a.txt"}
    return str(root / names[format])


def image_of(root: Path, format: Format) -> str:
    return str(root / {"voc": "JPEGImages/a.jpg", "coco": "train/a.jpg", "yolo": "images/train/a.jpg"}[format])


def found(root: Path, kind: str) -> tuple[Problem, ...]:
    result = resnets.check(root)
    assert {problem.kind for problem in result.problems} == {kind}
    return result.problems


def test_in_clean_boxes_nothing_is_wrong(tmp_path: Path, format: Format) -> None:
    result = resnets.check(farm(tmp_path, format))
    assert (result.problems, result.format) == ((), format)
    assert (dict(result.samples), dict(result.classes)) == ({"train": 3, "val": 2}, {"cat": 3, "dog": 3, "hen": 3})


BOXES: list[tuple[str, str, tuple[float, float, float, float], str]] = [
    ("degenerate_box", "error", (20, 20, 20, 40), "has no area, and is left out"),
    ("degenerate_box", "error", (30, 20, 20, 40), "has no area, and is left out"),
    ("outside_box", "warning", (96, 20, 120, 40), "lies outside of its image, and is left out"),
    ("outside_box", "warning", (70, 20, 99, 40), "reaches out of its image, and is cut at the border"),
    ("outside_box", "warning", (-4, 20, 30, 40), "reaches out of its image, and is cut at the border"),
    ("duplicate_box", "warning", CAT.box, "is the same as"),
    ("tiny_box", "warning", (20, 20, 60, 20.5), "has less than 3 pixels where images have 320"),
    ("huge_box", "warning", (0, 0, 96, 71.5), "is as large as its image"),
]


@pytest.mark.parametrize(("kind", "severity", "box", "what"), BOXES)
def test_a_box_is_found_by_file_and_box(
    tmp_path: Path, format: Format, kind: str, severity: str, box: tuple[float, ...], what: str
) -> None:
    root = farm(tmp_path, format, (CAT, DOG, Thing("cat", box)))  # type: ignore[arg-type]
    (problem,) = found(root, kind)
    assert (problem.severity, problem.path, problem.related) == (
        severity,
        file_of(root, format),
        (image_of(root, format),),
    )
    assert problem.box == pytest.approx(box, abs=1e-4)
    place = {"voc": "object 3", "coco": "annotation 1002", "yolo": "line 3"}[format]
    assert re.search(rf"{place} of a\.jpg \(.*\) {what}", problem.detail)


def test_the_same_box_of_another_class_is_said(tmp_path: Path, format: Format) -> None:
    (problem,) = found(farm(tmp_path, format, (CAT, DOG, Thing("hen", CAT.box))), "duplicate_box")
    assert ", of another class" in problem.detail


def test_crowds_and_equal_boxes_of_other_images_are_not_repeated(tmp_path: Path) -> None:
    assert check(farm(tmp_path, "coco", (CAT, DOG), d=(CAT, DOG))) == set()


def test_tiny_is_meant_at_the_size_of_training(tmp_path: Path, format: Format) -> None:
    assert check(farm(tmp_path, format, (CAT, Thing("dog", (20, 20, 21, 22))))) == set()  # 4 pixels of 320


def test_a_class_without_a_box_in_a_split_is_named(tmp_path: Path, format: Format) -> None:
    root = farm(tmp_path, format, w=(DOG,))
    (problem,) = found(root, "missing_class")
    assert (problem.path, "hen" in problem.detail, "val has none" in problem.detail) == (str(root), True, True)


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_a_class_without_a_box_in_train_is_named(tmp_path: Path, format: Format) -> None:
    root = farm(tmp_path, format, b=(CAT, Thing("dog", HEN.box)), c=(DOG,), w=(CAT,))
    assert any("train has no box of the class hen" in problem.detail for problem in found(root, "missing_class"))


def test_yolo_in_pixels_is_a_bad_row(tmp_path: Path) -> None:
    root = farm(tmp_path, "yolo")
    with Path(file_of(root, "yolo")).open("a") as file:
        file.write("0 48 36 20 20\n")
    (problem,) = found(root, "bad_row")
    assert problem.path == file_of(root, "yolo")
    assert "line 3 has 48, a number of pixels: coordinates are fractions" in problem.detail


def add_unknown(root: Path, format: Format) -> None:
    path = Path(file_of(root, format))
    if format == "voc":
        listed = Scene("v", [CAT, DOG, Thing("cow", (10, 20, 30, 40))], (HEIGHT, WIDTH))
        path.with_name("v.xml").write_text(voc_xml(listed))
    elif format == "yolo":
        path.write_text(path.read_text() + f"9 {20 / 96:.9f} {30 / 72:.9f} {20 / 96:.9f} {20 / 72:.9f}\n")
    else:
        data = json.loads(path.read_text())
        more = {"id": 99, "image_id": 1, "category_id": 9, "bbox": [10, 20, 20, 20], "iscrowd": 0}
        data["annotations"].append(more)
        path.write_text(json.dumps(data))


def test_a_class_that_there_is_not_is_found_by_its_box(tmp_path: Path, format: Format) -> None:
    root = farm(tmp_path, format)
    add_unknown(root, format)
    (problem,) = found(root, "unknown_class")
    assert problem.severity == "error"
    assert problem.box == pytest.approx((10, 20, 30, 40), abs=1e-4)
    assert Path(problem.related[0]).name == ("v.jpg" if format == "voc" else "a.jpg")


FILES: list[tuple[Format, str, str, Callable[[Path], object], str]] = [
    ("voc", "error", "missing_annotation", lambda root: (root / "Annotations/a.xml").unlink(), "JPEGImages/a.jpg"),
    ("voc", "error", "missing_file", lambda root: (root / "JPEGImages/a.jpg").unlink(), "Annotations/a.xml"),
    ("voc", "error", "bad_row", lambda root: truncate(root / "Annotations/a.xml"), "Annotations/a.xml"),
    ("coco", "warning", "missing_annotation", lambda root: scene(77).save(root / "train/x.jpg"), "train/x.jpg"),
    ("coco", "error", "missing_file", lambda root: (root / "train/a.jpg").unlink(), "train/a.jpg"),
    ("yolo", "error", "orphan_annotation", lambda root: (root / "labels/val/x.txt").write_text(""), "labels/val/x.txt"),
    ("yolo", "error", "truncated", lambda root: truncate(root / "images/train/a.jpg"), "images/train/a.jpg"),
    ("yolo", "error", "bad_row", lambda root: (root / "labels/val/v.txt").write_text("0 1\n"), "labels/val/v.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "severity", "kind", "plant", "path"), FILES)
def test_files_that_lack_the_other(
    tmp_path: Path, format: Format, severity: str, kind: str, plant: Callable[[Path], object], path: str
) -> None:
    root = farm(tmp_path, format)
    plant(root)
    assert (severity, kind, str(root / path)) in check(root)
    assert check(root, only=kind) == {(severity, kind, str(root / path))}


def test_without_lists_an_image_and_an_annotation_alone_are_both_named(tmp_path: Path) -> None:
    root = farm(tmp_path, "voc")
    for path in (root / "ImageSets" / "Main").iterdir():
        path.unlink()
    (root / "JPEGImages" / "a.jpg").unlink()
    (root / "Annotations" / "b.xml").unlink()
    assert check(root, only="missing_annotation,orphan_annotation") == {
        ("error", "missing_annotation", str(root / "JPEGImages" / "b.jpg")),
        ("error", "orphan_annotation", str(root / "Annotations" / "a.xml")),
    }


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_an_image_of_another_size_is_named_where_training_refuses_it(tmp_path: Path, format: Format) -> None:
    root = farm(tmp_path, format)
    scene(0, HEIGHT, WIDTH).save(image_of(root, format), quality=95)
    problem = next(problem for problem in resnets.check(root).problems if problem.kind == "bad_row")
    assert (problem.path, problem.related) == (file_of(root, format), (image_of(root, format),))
    assert "has 96 x 72 pixels, and upright it has 72 x 96" in problem.detail
    assert resnets.check(root, fast=True).of("bad_row")


def with_masks(root: Path, segment: Any) -> Path:
    square = [[10, 12, 50, 12, 50, 60, 10, 60]]
    things = [Thing("cat", CAT.box, segment=square), Thing("dog", DOG.box, segment=segment)]
    return farm(root, "coco", things)


@pytest.mark.parametrize(
    ("kind", "segment", "said"),
    [
        ("mask_size", {"size": [96, 72], "counts": [96 * 72]}, "has a mask of 72 x 96 pixels, and its image"),
        ("mask_value", {"size": [72, 96], "counts": [5]}, "has runs (RLE) of 5 pixels for a mask of 6,912"),
        ("mask_value", {"size": [72, 96], "counts": "~~~"}, "has a mask that cannot be drawn"),
        ("mask_value", {"size": [72, 96], "counts": [96 * 72]}, "has a mask without a pixel"),
        ("mask_value", [[1, 2, 3, 4]], "has a polygon of 4 numbers"),
    ],
)  # fmt: skip
def test_masks_of_objects(tmp_path: Path, kind: str, segment: Any, said: str) -> None:
    root = with_masks(tmp_path, segment)
    problem = next(problem for problem in resnets.check(root).problems if problem.kind == kind)
    assert said in problem.detail
    assert (problem.path, problem.related) == (file_of(root, "coco"), (image_of(root, "coco"),))
    assert problem.box == DOG.box


def test_the_page_shows_the_image_with_the_box_drawn(tmp_path: Path, format: Format) -> None:
    root = farm(tmp_path, format, (CAT, DOG, Thing("cat", (20, 30, 20, 40))))
    result = resnets.check(root)
    write_page(tmp_path / "with.html", result)
    page = (tmp_path / "with.html").read_text()
    section = page[page.index("degenerate_box") : page.index("Classes")]
    urls = re.findall(r"data:image/jpeg;base64,([^\"]+)", section)
    assert len(urls) == 1
    assert "3" in re.findall(r"<td>(\d+)</td>", page)


def test_a_drawn_box_is_where_it_is(tmp_path: Path) -> None:
    from resnets.checks.page import _draw

    image = Image.new("RGB", (80, 60), (0, 0, 0))
    _draw(image, (160, 120), (40, 20, 100, 80))
    red = [(x, y) for x in range(80) for y in range(60) if image.getpixel((x, y)) == (255, 0, 0)]
    assert (min(red), max(red)) == ((20, 10), (50, 40))
    for box in ((9, 9, 9, 9), (30, 30, 20, 20), (-50, -50, 500, 500), (300, 300, 400, 400)):
        _draw(image, (160, 120), box)


def test_bccd_names_its_two_boxes_of_zero_size(shared: Path) -> None:
    result = call("check", shared / "detection" / "bccd", "--only", "degenerate_box", "--json")
    assert result.code == 1
    problems = result.json["problems"]
    assert [(Path(each["path"]).name, each["box"]) for each in problems] == [
        ("BloodImage_00338.xml", [504.0, 337.0, 504.0, 337.0]), ("BloodImage_00343.xml", [181.0, 329.0, 181.0, 329.0]),
    ]  # fmt: skip
    assert Path(problems[0]["related"][0]).name == "BloodImage_00338.jpg"
    assert result.json["classes"] == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    assert result.json["samples"] == {"train": 205, "val": 87, "test": 72}


def test_what_training_refuses_is_an_error_here(tmp_path: Path) -> None:
    root = farm(tmp_path, "yolo")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, cat]\n")
    result = call("check", root, "--format", "yolo")
    assert (result.code, "two classes are called cat" in result.err) == (2, True)


def test_what_training_notes_is_a_warning(tmp_path: Path) -> None:
    root = farm(tmp_path, "yolo")
    Path(file_of(root, "yolo")).unlink()
    (problem,) = resnets.check(root, only="missing_annotation").problems
    assert (problem.severity, "1 image without a label file" in problem.detail) == ("warning", True)
    voc = farm(tmp_path / "voc", "voc")
    lists = sorted((voc / "ImageSets" / "Main").glob("*.txt"))
    lists[0].write_text("\n".join(lists[0].read_text().splitlines()[1:]) + "\n")
    (problem,) = resnets.check(voc, only="loose_file").problems
    assert (problem.severity, "were left out (1)" in problem.detail) == ("warning", True)
