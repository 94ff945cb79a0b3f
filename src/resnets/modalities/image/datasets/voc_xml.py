"""One annotation of PASCAL VOC: an XML file with the objects of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from resnets.core.errors import DataError
from resnets.modalities.image.datasets.annotations import Box, Size

LARGEST = 2**24  # bytes of an annotation of one image
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VOCObject:
    """An object as it is annotated; its box may be of any kind."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class VOCAnnotation:
    """An annotation.

    Args:
        size: height and width; 0 where it does not say.
        objects: by their numbers from 1. Those that cannot be used are in `wrong`, with the reason.
    """

    size: Size
    objects: dict[int, VOCObject]
    wrong: dict[int, str]


def read_annotation(file: Path) -> VOCAnnotation:
    """The annotation in a file.

    Raises:
        DataError: it cannot be read, is no XML, or no annotation; the message has the line.
    """
    try:
        with open(file, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if len(data) > LARGEST:
        raise DataError(f"{file} has more than {LARGEST >> 20} MiB, which is no annotation of one image.")
    root = parse_xml(data, str(file))
    if root.tag != "annotation":
        raise DataError(f"{file} begins with <{root.tag}>: an annotation of PASCAL VOC begins with <annotation>.")
    size = root.find("size")
    objects: dict[int, VOCObject] = {}
    wrong: dict[int, str] = {}
    for number, element in enumerate(root.findall("object"), start=1):
        try:
            objects[number] = _object(element)
        except ValueError as error:
            wrong[number] = f"{file}, object {number} {error}"
    return VOCAnnotation((_side(size, "height"), _side(size, "width")), objects, wrong)


def parse_xml(data: bytes, name: str) -> Element:
    """The root of an XML file.

    Entities that the file declares itself are refused: a few lines of them stand for gigabytes ("billion laughs"), and
    others for files of this machine.

    Raises:
        DataError: it is no XML; the message has the line.
    """
    parser, builder = expat.ParserCreate(), TreeBuilder()

    def refuse(*_: object) -> NoReturn:
        line = parser.CurrentLineNumber
        raise DataError(f"{name}, line {line} declares an entity, which annotations have no use for: take it out.")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = builder.data, refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two of an unknown encoding
        what = expat.errors.messages.get(getattr(error, "code", 0), str(error))
        where = f"line {parser.ErrorLineNumber}: {what}"
        cut = " It may be truncated: copy it anew." if parser.ErrorByteIndex >= len(data.rstrip()) else ""
        raise DataError(f"{name} is no XML, {where}.{cut}") from None


def _object(element: Element) -> VOCObject:
    """Raises ValueError with what is wrong with the object, after its name."""
    name = _text(element, "name")
    if not name:
        raise ValueError("has no name, which is its class.")
    box = element.find("bndbox")
    if box is None:
        raise ValueError("has no bndbox.")
    sides = {side: _text(box, side) for side in _SIDES}
    left, top, right, bottom = (_number(side, text) for side, text in sides.items())
    return VOCObject(name, (left, top, right, bottom), _text(element, "difficult").lower() in ("1", "true"))


def _number(side: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"has {f'the {side} {text[:40]!r}' if text else f'no {side}'}, and it takes a number of pixels."
        )
    return value


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _side(size: Element | None, tag: str) -> int:
    text = "" if size is None else _text(size, tag)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
