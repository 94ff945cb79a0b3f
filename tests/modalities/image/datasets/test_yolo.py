"""Images with boxes as YOLO has them: the YAML file, the folders, and what is wrong with a line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import whole
from resnets.modalities.catalog import find_format, open_dataset
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets.yolo import label_name, list_yolo
from tests.conftest import write_tree
from tests.modalities.image.box_files import SCENES, Scene, write

YAML = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog, hen]\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, "yolo")


def splits_with(root: Path, text: str) -> dict[str, list[bytes]]:
    """The images of each split, where the YAML file says `text`."""
    (root / "data.yaml").write_text(text)
    splits = open_dataset(str(root)).splits
    return {split: [each.key(index) for index in range(len(each))] for split, each in splits.items()}


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        YAML.replace("path: .\n", ""),
        YAML.replace("path: .", "path: /home/me/datasets/farm"),
        YAML.replace("path: .", "path: ../datasets/farm"),
        YAML.replace("images/train", "../images/train").replace("images/val", "../images/val"),
        YAML.replace("images/train", "/content/farm/images/train"),
        YAML.replace("images/train", "[images/train]"),
        YAML.replace("[cat, dog, hen]", "\n  0: cat\n  1: dog\n  2: hen"),
        YAML.replace("names:", "nc: 3\nnames:"),
        YAML.replace("val:", "valid:"),
        "'names' : ['cat', 'dog', 'hen']\ntrain: images/train\nval: images/val\n",
    ],
)
def test_splits_as_the_yaml_says(root: Path, text: str) -> None:
    found = splits_with(root, text)
    assert {split: len(names) for split, names in found.items()} == {"train": 3, "val": 1}
    assert found["train"][0] == b"images/train/a.jpg"


def test_lists_of_images(root: Path) -> None:
    (root / "train.txt").write_text("./images/train/a.jpg\n\nimages/train/b.jpg\n", encoding="utf-8-sig")
    found = splits_with(root, YAML.replace("images/train", "train.txt"))
    assert found["train"] == [b"images/train/a.jpg", b"images/train/b.jpg"]
    (root / "train.txt").write_text("images/train/a.jpg\nimages/train/nowhere.jpg\n")
    with pytest.raises(DataError, match=r"train\.txt, line 2: there is no image images/train/nowhere\.jpg"):
        splits_with(root, YAML.replace("images/train", "train.txt"))


def test_folders_of_splits_with_images_and_labels(tmp_path: Path) -> None:
    root = write(tmp_path, "yolo")
    for split, name in (("train", "train"), ("val", "valid")):
        (root / name).mkdir()
        for kind in ("images", "labels"):
            (root / kind / split).rename(root / name / kind)
    (root / "images").rmdir()
    found = splits_with(
        root, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat, dog, hen]\n"
    )
    assert found["val"] == [b"valid/images/c.jpg"]
    assert open_dataset(str(root)).train.target(0)["labels"].tolist() == [1, 0]


def test_images_is_taken_whole_where_the_folders_of_the_yaml_are_absent(root: Path) -> None:
    found = splits_with(root, "train: images/train2017\nval: images/val2017\nnames: [cat, dog, hen]\n")
    assert list(found) == ["all"]
    assert len(found["all"]) == 4
    (note,) = (note for note in open_dataset(str(root)).notes if "taken whole" in note)
    assert "data.yaml names images/train2017, images/val2017, which are not there" in note
    assert list(splits_with(root, "names: [cat, dog, hen]\n")) == ["all"]


def test_an_absent_val_is_left_out_and_said(root: Path) -> None:
    assert list(splits_with(root, YAML.replace("images/val", "images/nowhere"))) == ["train"]
    assert any(
        "names images/nowhere, which are not there, and left out" in note for note in open_dataset(str(root)).notes
    )
    with pytest.raises(DataError, match="train is images/nowhere, in which there are no images"):
        splits_with(root, YAML.replace("images/train", "images/nowhere"))
    with pytest.raises(DataError, match="has no train: it names the folder of the images to learn from"):
        splits_with(root, YAML.replace("train: images/train\n", ""))


def test_an_image_in_two_splits_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"images/val/c\.jpg is in train and in val"):
        splits_with(root, YAML.replace("images/train", "images"))


def test_class_numbers_may_have_gaps(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: {0: cat, 1: dog, 2: hen, 7: cow}\n")
    (root / "labels" / "train" / "a.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    dataset, index = whole(open_dataset(str(root)).train, 0)
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog", "hen", "cow"), (0, 1, 2, 7))
    assert dataset.target(index)["labels"].tolist() == [3]
    (root / "labels" / "train" / "a.txt").write_text("\n3 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2 has the class 3, and the YAML file names 0, 1, 2, 7"):
        open_dataset(str(root))


def test_images_without_labels_are_images_without_objects(root: Path) -> None:
    notes = open_dataset(str(root)).notes
    assert f"{root}: 1 image without a label file, which is taken to mean without objects." in notes
    (root / "labels" / "train" / "empty.txt").write_text("\n")
    assert not open_dataset(str(root)).notes
    assert open_dataset(str(root)).train.target(2)["boxes"].shape == (0, 4)


def test_polygons_have_masks_and_boxes_around_them(root: Path) -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    (root / "labels" / "train" / "a.txt").write_text("1 0.1 0.25 0.9 0.5 0.5 0.75 0.2 0.6\n")
    dataset, index = whole(open_dataset(str(root)).train, 0)
    (box,) = dataset.target(index)["boxes"]
    assert box == pytest.approx([6, 10, 54, 30])
    with pytest.raises(DataError, match=r"b\.txt, line 1 has no mask"):
        dataset.masked().target(index + 1)
    (mask,) = dataset.masked().target(index)["masks"]
    polygon = [6, 10, 54, 20, 30, 30, 12, 24]
    assert np.array_equal(mask, coco_mask.decode(coco_mask.frPyObjects([polygon], 40, 60))[..., 0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.2", r"has 4 numbers: it takes 5 \(class, x, y, width, height\), or a class and x and y"),
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers"),
        ("cat 0.5 0.5 0.2 0.2", r"has 'cat 0\.5 0\.5 0\.2 0\.2', and it takes numbers"),
        ("0 0.5 nan 0.2 0.2", "has '0 0.5 nan 0.2 0.2', and it takes numbers"),
        ("0.5 0.5 0.5 0.2 0.2", "begins with 0.5, and a class is a whole number"),
        ("0 320 240 50 40", r"has 320, a number of pixels: coordinates are fractions of the image's width and height"),
        ("3 0.5 0.5 0.2 0.2", "has the class 3, and the YAML file names from 0 to 2"),
        ("-1 0.5 0.5 0.2 0.2", "has the class -1"),
        ("1e99 0.5 0.5 0.2 0.2", "begins with 1e99"),
    ],
)
def test_a_wrong_line_is_named(root: Path, line: str, said: str) -> None:
    (root / "labels" / "train" / "a.txt").write_text(f"0.0 0.5 0.5 0.2 0.2\n\n{line}\n")
    with pytest.raises(DataError, match=rf"labels/train/a\.txt, line 3 {said}"):
        open_dataset(str(root))


def test_labels_that_are_no_text_are_named(root: Path) -> None:
    (root / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe0 1")
    with pytest.raises(DataError, match=r"a\.txt cannot be read as text"):
        open_dataset(str(root))


def test_labels_without_an_image_are_named(root: Path) -> None:
    (root / "labels" / "train" / "nowhere.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "labels" / "train" / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"Label files without an image \(1\): .*labels/train/nowhere\.txt"):
        open_dataset(str(root))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [", "is no YAML: while parsing"),
        ("- names:\n- x\nnames: a", "is no YAML"),
        ("names: cat", "names is a list of the classes, or their names by number, not 'cat'"),
        ("names: []", "names is a list of the classes"),
        ("names: [cat, cat]", "two classes are called cat"),
        ("names: [cat, no]", r"the class 1 is False in YAML: write its name in quotes"),
        ("names: {a: cat}", "names has the number 'a', which is not a whole number"),
        ("names: [cat, [dog]]", "the class 1 has the name"),
        ("names: [cat, dog]\nnc: 5", "nc is 5, and there are 2 names"),
        ("names: [cat]\ntrain: {images: x}", "train is a folder of images, a list of them"),
        ("names: [cat]\nkpt_shape: [17, 3]", "labels of poses are not read"),
        ("names: !!python/object/apply:os.system ['true']", "is no YAML: could not determine a constructor"),
    ],
)
def test_a_wrong_yaml_is_named(root: Path, text: str, said: str) -> None:
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"data\.yaml.*{said}"):
        open_dataset(str(root), "yolo")


def test_two_yaml_files_are_named_and_one_can_be_given(root: Path) -> None:
    (root / "other.yml").write_text(YAML)
    with pytest.raises(DataError, match=r"holds data\.yaml and other\.yml: give the file that is meant"):
        open_dataset(str(root))
    assert open_dataset(str(root / "other.yml")).format == "yolo"


def test_other_yaml_files_are_not_taken_for_it(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "config.yaml").write_text("lr: 0.1\nmodel:\n  names: [x]\n")
    assert find_format(tmp_path) == "folders"
    with pytest.raises(DataError, match="has no YAML file with the names of the classes"):
        open_dataset(str(tmp_path), "yolo")


def test_without_pyyaml_the_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(UsageError, match=r"needs PyYAML, which is not installed: .*detection"):
        open_dataset(str(root))


@pytest.mark.parametrize(
    ("image", "label"),
    [
        (b"images/a.jpg", b"labels/a.txt"),
        (b"images/train/x/a.b.png", b"labels/train/x/a.b.txt"),
        (b"images/images/a.png", b"images/labels/a.txt"),
        (b"train/images/a.png", b"train/labels/a.txt"),
        (b"train/a.png", b"train/a.txt"),
        (b"a.png", b"a.txt"),
    ],
)
def test_where_the_labels_of_an_image_are(image: bytes, label: bytes) -> None:
    assert label_name(image) == label


PLANTS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("bad_row", "labels/train/a.txt", lambda path: path.write_text("0 9 9 9 9\n0 0.5 0.5 0.2 0.2\n")),
    ("unknown_class", "labels/train/a.txt", lambda path: path.write_text("9 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n")),
    ("orphan_annotation", "labels/train/x.txt", lambda path: path.write_text("")),
    ("bad_row", "labels/train/a.txt", lambda path: path.write_bytes(b"\xff")),
]


@pytest.mark.parametrize(("kind", "path", "plant"), PLANTS)
def test_faults_are_collected_and_the_rest_is_listed(
    root: Path, kind: str, path: str, plant: Callable[[Path], object]
) -> None:
    plant(root / path)
    faults: Faults = []
    listed = list_yolo(root, faults)
    assert [(each.kind, each.path) for each in faults if not each.is_note] == [(kind, str(root / path))]
    assert len(listed.annotations) == sum(map(len, SCENES.values()))


def test_labels_beside_images_in_a_folder_called_images_are_not_read(tmp_path: Path) -> None:
    for number in range(3):
        Scene(str(number)).write(tmp_path / "images" / f"{number}.jpg")
        (tmp_path / "images" / f"{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    with pytest.raises(DataError, match="has no box to learn from"):  # they lie in labels/, not beside the images
        open_dataset(str(tmp_path))
