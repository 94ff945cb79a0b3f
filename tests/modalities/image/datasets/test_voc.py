"""Images with boxes as PASCAL VOC has them: layouts, splits, and what is wrong with a file."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from resnets.core.errors import DataError
from resnets.modalities.catalog import find_format, open_dataset
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets.voc import list_voc, looks_like_voc
from resnets.modalities.image.datasets.voc_xml import read_annotation
from tests.conftest import write_tree
from tests.modalities.image.box_files import SCENES, Scene, Thing, voc_xml, write

THING = Thing("cat", (1, 2, 30, 20))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, "voc")


def put(root: Path, *places: tuple[str, str], things: tuple[Thing, ...] = (THING,)) -> Path:
    """Writes an image and its XML at each pair of places."""
    for image, xml in places:
        scene = Scene(Path(image).stem, things, ending=Path(image).suffix)
        scene.write(root / image)
        (root / xml).parent.mkdir(parents=True, exist_ok=True)
        (root / xml).write_text(voc_xml(scene))
    return root


@pytest.mark.parametrize(
    ("image", "xml", "split"),
    [
        ("1.jpg", "1.xml", "all"),
        ("JPEGImages/1.jpg", "Annotations/1.xml", "all"),
        ("images/day/1.png", "annotations/day/1.xml", "all"),
        ("photos/1.jpg", "boxes/1.xml", "all"),
        ("train/1.jpg", "train/1.xml", "train"),
        ("train/images/1.jpg", "train/annotations/1.xml", "train"),
        ("images/train/1.jpg", "annotations/train/1.xml", "train"),
    ],
)
def test_layouts(tmp_path: Path, image: str, xml: str, split: str) -> None:
    put(tmp_path, (image, xml))
    splits = open_dataset(str(tmp_path), "voc").splits
    assert {name: len(each) for name, each in splits.items()} == {split: 1}
    assert splits[split].key(0) == image.encode()  # type: ignore[index]
    assert looks_like_voc(tmp_path) == (not xml.startswith("boxes"))


def test_folders_of_splits(tmp_path: Path) -> None:
    places = [(f"{split}/{i}.jpg", f"{split}/{i}.xml") for split in ("train", "valid", "test") for i in range(2)]
    put(tmp_path, *places, ("spare/9.jpg", "spare/9.xml"))
    found = open_dataset(str(tmp_path))
    assert {split: len(each) for split, each in found.splits.items()} == {"train": 2, "val": 2, "test": 2}
    assert any("beside train/, in no split, were left out (1): spare/9." in note for note in found.notes)


def test_lists_are_the_splits_and_trainval_is_none(root: Path) -> None:
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\nempty\nc\n")
    (root / "ImageSets" / "Main" / "cat_train.txt").write_text("a 1\nb -1\n")
    (root / "ImageSets" / "Main" / "train.txt").write_text("b  1\n\na -1\n", encoding="utf-8-sig")
    found = open_dataset(str(root))
    assert {split: len(each) for split, each in found.splits.items()} == {"train": 2, "val": 1}
    assert found.splits["train"].key(0) == b"JPEGImages/b.jpg"
    assert any("images in no list of ImageSets/Main were left out (1)" in note for note in found.notes)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("train.txt", None, r"Main has val, and no train\.txt to learn from"),
        ("train.txt", "", r"train\.txt lists no image"),
        ("train.txt", "a\nnowhere\n", r"train\.txt, line 2: nowhere has neither an image nor an XML file"),
        ("train.txt", "a\nb\na\n", r"train\.txt, line 3 repeats a of .*train\.txt, line 1"),
        ("val.txt", "c\nb\n", r"val\.txt, line 2 repeats b of .*train\.txt, line 2"),
    ],
)
def test_wrong_lists_are_named(root: Path, file: str, text: str | None, said: str) -> None:
    path = root / "ImageSets" / "Main" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=said):
        open_dataset(str(root))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("Annotations/a.xml", r"train\.txt, line 1: a has no XML file; .*JPEGImages/a\.jpg is there"),
        ("JPEGImages/a.jpg", r"train\.txt, line 1: a has no image; .*Annotations/a\.xml is there"),
    ],
)
def test_what_a_listed_name_lacks_is_named(root: Path, gone: str, said: str) -> None:
    (root / gone).unlink()
    with pytest.raises(DataError, match=said):
        open_dataset(str(root))


def test_without_lists_every_image_needs_an_annotation_and_the_other_way_round(tmp_path: Path) -> None:
    put(tmp_path, ("1.jpg", "1.xml"), ("2.jpg", "2.xml"))
    (tmp_path / "2.xml").unlink()
    with pytest.raises(DataError, match=r"Files with no XML file of the same name\. Add them.*: .*2\.jpg"):
        open_dataset(str(tmp_path))
    (tmp_path / "2.jpg").rename(tmp_path / "2.txt")
    put(tmp_path, ("3.jpg", "3.xml"))
    (tmp_path / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"Files with no image of the same name\..*: .*3\.xml"):
        open_dataset(str(tmp_path))


def test_two_images_of_one_name_are_named(tmp_path: Path) -> None:
    put(tmp_path, ("1.jpg", "1.xml"), ("1.png", "1.xml"))
    with pytest.raises(DataError, match=r"holds 1\.jpg and 1\.png: it is ambiguous"):
        open_dataset(str(tmp_path))


def test_a_class_that_train_does_not_have_is_named(root: Path) -> None:
    (root / "Annotations" / "c.xml").write_text(voc_xml(SCENES["val"][0], [THING, Thing("cow", (1, 2, 3, 4))]))
    with pytest.raises(
        DataError, match=r"c\.xml, object 2 is of the class cow, which train does not have: it has cat,"
    ):
        open_dataset(str(root))


def test_objects_keep_what_voc_says_of_them(root: Path) -> None:
    parts = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    text = voc_xml(SCENES["train"][0], [Thing("dog", (1, 2, 3, 4), difficult=True), THING])
    (root / "Annotations" / "a.xml").write_text(text.replace("</bndbox></object>", f"</bndbox>{parts}</object>"))
    target = open_dataset(str(root)).splits["train"].target(0)
    assert target["difficult"].tolist() == [True, False]
    assert target["boxes"].tolist() == [[1, 2, 3, 4], [1, 2, 30, 20]]


@pytest.mark.parametrize("size", ["", "<size></size>", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_not_said_is_that_of_the_image(root: Path, size: str) -> None:
    text = voc_xml(SCENES["train"][0])
    (root / "Annotations" / "a.xml").write_text(text[: text.index("<size>")] + size + text[text.index("</size>") + 7 :])
    dataset = open_dataset(str(root)).splits["train"]
    assert dataset.target(0)["boxes"].tolist() == [list(thing.box) for thing in SCENES["train"][0].things]


def test_xml_in_other_encodings(root: Path) -> None:
    text = voc_xml(SCENES["train"][0], [Thing("mèche", (1, 2, 3, 4))])
    for encoding, start in (("latin-1", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16", b"")):
        header = f'<?xml version="1.0" encoding="{encoding}"?>'
        (root / "Annotations" / "a.xml").write_bytes(start + (header + text).encode(encoding))
        assert [each.name for each in read_annotation(root / "Annotations" / "a.xml").objects.values()] == ["mèche"]


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">{}]>\n<annotation>&z;</annotation>'.format(
    "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(25))
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"a\.xml is no XML, line 1: no element found"),
        ("no XML", r"a\.xml is no XML, line 1: syntax error"),
        ("<annotation>\n<object>", r"a\.xml is no XML, line 2: no element found\. It may be truncated"),
        ("<annotation></wrong>", "is no XML, line 1: mismatched tag"),
        ("<html></html>", r"a\.xml begins with <html>: an annotation of PASCAL VOC begins with <annotation>"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', r"a\.xml is no XML, line 1: unknown encoding"),
        (LAUGHS, r"a\.xml, line 1 declares an entity"),
        ('<!DOCTYPE a [\n<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', r"a\.xml, line 2 declares an entity"),
        ("<annotation><object/></annotation>", r"a\.xml, object 1 has no name, which is its class"),
        ("<annotation><object><name>x</name></object></annotation>", "object 1 has no bndbox"),
    ],
)  # fmt: skip
def test_damaged_and_hostile_xml_is_named(root: Path, text: str, said: str) -> None:
    (root / "Annotations" / "a.xml").write_text(text)
    with pytest.raises(DataError, match=said):
        open_dataset(str(root), "voc")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<xmin>4</xmin>", "", "object 1 has no xmin, and it takes a number of pixels"),
        ("<ymax>38</ymax>", "<ymax>many</ymax>", "object 1 has the ymax 'many', and it takes"),
        ("<ymax>20.25</ymax>", "<ymax>nan</ymax>", "object 2 has the ymax 'nan'"),
        ("<ymax>20.25</ymax>", "<ymax>1e999</ymax>", "object 2 has the ymax '1e999'"),
    ],
)
def test_a_wrong_box_is_named_by_its_number(root: Path, old: str, new: str, said: str) -> None:
    path = root / "Annotations" / "a.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=f"a.xml, {said}"):
        open_dataset(str(root))


def test_a_huge_file_and_a_deep_one_are_refused_or_read(root: Path) -> None:
    path = root / "Annotations" / "a.xml"
    path.write_text("<annotation>" + "<a>" * 200_000 + "</a>" * 200_000 + "</annotation>")
    assert read_annotation(path).objects == {}
    with path.open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(DataError, match="has more than 16 MiB"):
        read_annotation(path)


def test_other_folders_do_not_look_like_voc(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/cat": 1, "train/dog": 1})
    assert not looks_like_voc(tmp_path)
    (tmp_path / "notes.xml").write_text("<notes/>")
    assert find_format(tmp_path) == "folders"
    assert not looks_like_voc(tmp_path / "notes.xml")
    with pytest.raises(DataError, match="holds no XML file with the name of an image"):
        open_dataset(str(tmp_path), "voc")


PLANTS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("bad_row", "Annotations/a.xml", lambda root: (root / "Annotations/a.xml").write_text("<a")),
    ("missing_annotation", "JPEGImages/a.jpg", lambda root: (root / "Annotations/a.xml").unlink()),
    ("missing_file", "Annotations/a.xml", lambda root: (root / "JPEGImages/a.jpg").unlink()),
    ("name_collision", "JPEGImages/a.png", lambda root: Scene("a").write(root / "JPEGImages/a.png")),
]


@pytest.mark.parametrize(("kind", "path", "plant"), PLANTS)
def test_faults_are_collected_and_the_rest_is_listed(
    root: Path, kind: str, path: str, plant: Callable[[Path], object]
) -> None:
    plant(root)
    faults: Faults = []
    listed = list_voc(root, faults)
    assert [(each.kind, each.path) for each in faults] == [(kind, str(root / path))]
    assert sum(map(len, listed.splits.values())) == (4 if kind == "name_collision" else 3)
