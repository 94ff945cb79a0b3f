"""What a user gives a model to predict, one by one: whatever it is given in, and what messages call it."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from resnets.core.errors import DataError, UsageError
from resnets.core.urls import local_path
from resnets.modalities.base import NOUNS

_NUMBERS = "buif"  # kinds of NumPy's types
_TEXTS = "OUS"


@dataclass(frozen=True)
class Given:
    """One input.

    Args:
        name: its path, or its number from 0 among all inputs, such as "image 3".
        value: a path, the bytes of a file, an image of Pillow's, an array, or a pair of samples and their rate in Hz.
            A DataError stands for an input that could not be taken.
    """

    name: str
    value: Any

    @property
    def is_large(self) -> bool:
        """Whether it is in memory decoded."""
        return not isinstance(self.value, str | os.PathLike | bytes | DataError)


def given_inputs(
    inputs: Iterable[Any], modality: str, paths: Callable[[Any], Iterable[Any]] = lambda path: (path,)
) -> Iterator[Given]:
    """Each of `inputs`, and of the lists, batches and iterators among them, when it is asked for.

    An input is a path; the bytes of a file; a binary file object, which is read from its start, or from where it is if
    it cannot seek; and, of images, an image of Pillow's, or an array or tensor (`read.arrays`) of 2 or 3 dimensions.
    One of 4 is a batch of images. A recording in memory is a pair of its samples and their rate in Hz. Anything else
    that can be iterated over stands for what it yields. What an iterator yields is taken as it is then: it may be
    closed or overwritten afterwards.

    Args:
        paths: the inputs that a path stands for, such as the files in a folder.

    Raises:
        UsageError: something is no input and none of these, or it is a URL.
    """
    numbers = itertools.count()
    for each in inputs:
        yield from _flat(each, modality, paths, numbers, lasting=True)


def _flat(
    value: Any, modality: str, paths: Callable[[Any], Iterable[Any]], numbers: Iterator[int], *, lasting: bool
) -> Iterator[Given]:
    """The inputs that `value` is or has.

    Args:
        numbers: gives each input its number.
        lasting: whether it stays as it is until all inputs have been read.
    """
    noun = NOUNS[modality]
    value = _text(value)
    if isinstance(value, str | os.PathLike):
        for path in paths(local_path(str(value) if isinstance(value, str) else value, f"each {noun}")):
            next(numbers)
            yield Given(os.fsdecode(path), path)
    elif isinstance(value, bytes | bytearray | memoryview):
        yield Given(f"{noun} {next(numbers)}", bytes(value))
    elif isinstance(value, Image.Image) and modality == "image":
        name = f"{noun} {next(numbers)}"
        yield Given(name, value if lasting else _loaded(value, name))
    elif hasattr(value, "read"):
        yield _read(value, f"{noun} {next(numbers)}")
    elif modality == "audio" and (pair := sound_pair(value)) is not None:
        yield Given(f"{noun} {next(numbers)}", pair if lasting else (pair[0].copy(), pair[1]))
    elif (array := as_array(value)) is not None:
        for each in _images(array, noun) if modality == "image" else _refused(value, noun):
            yield Given(f"{noun} {next(numbers)}", each if lasting else each.copy())
    elif isinstance(value, Iterable) and not isinstance(value, Mapping | Image.Image):
        lasting = lasting and not isinstance(value, Iterator)
        for each in value:
            yield from _flat(each, modality, paths, numbers, lasting=lasting)
    else:
        _refused(value, noun)


def is_several(value: Any, modality: str) -> bool:
    """Whether `value` stands for any number of inputs, not for one; see `given_inputs`."""
    value = _text(value)
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or hasattr(value, "read"):
        return False
    if modality == "audio" and sound_pair(value) is not None:
        return False
    array = as_array(value)
    return array is None or array.ndim == 4


def _text(value: Any) -> Any:
    """The text in an array of one text without dimensions; anything else as it is."""
    is_text = isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in _TEXTS
    return value.item() if is_text else value


def as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """`value` as an array of numbers, without a copy where there need be none; None where it is no array or tensor.

    Raises:
        UsageError: it is a tensor of another kind than dense numbers, such as a sparse one.
    """
    if isinstance(value, Image.Image):
        return None
    if hasattr(value, "detach"):  # a tensor of torch, anywhere
        try:
            dense = value.detach().cpu()
            value = (dense.float() if str(dense.dtype) == "torch.bfloat16" else dense).numpy()
        except (TypeError, NotImplementedError, RuntimeError) as error:
            raise UsageError(
                f"A tensor of {value.dtype} is not dense numbers that can be read ({str(error).splitlines()[0]}): give "
                "a dense one of uint8, or of floats from 0 to 1."
            ) from error
    if not hasattr(value, "__array__") and not hasattr(value, "__array_interface__"):
        return None
    array = np.asarray(value)
    return None if array.dtype.kind in _TEXTS else array


def sound_pair(value: Any) -> tuple[np.ndarray[Any, Any], int] | None:
    """`value` as samples and their rate in Hz, where it is a pair of an array and a whole number, in any order."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    for samples, rate in (value, value[::-1]):
        number = (
            as_array(rate) if hasattr(rate, "ndim") else np.asarray(rate) if isinstance(rate, int | float) else None
        )
        if number is None or number.ndim or number.dtype.kind not in "iuf" or number != number.astype(np.int64):
            continue
        if (array := as_array(samples)) is not None and array.ndim:
            return array, int(number)
    return None


def _images(array: np.ndarray[Any, Any], noun: str) -> Iterator[np.ndarray[Any, Any]]:
    if array.ndim in (2, 3):
        yield array
    elif array.ndim == 4:
        yield from array
    else:
        raise UsageError(
            f"An array of an {noun} has 2 or 3 dimensions, and a batch of them 4; this one has the shape {array.shape}."
        )


def _loaded(image: Image.Image, name: str) -> Image.Image | DataError:
    """`image` with its pixels, which are read from its file now."""
    if getattr(image, "fp", None) is None or image.format == "EPS":  # it has them, or is refused later
        return image
    try:
        image.load()
    except Exception as error:
        return DataError(f"{name} is damaged: {error}. Replace it, or take it out.")
    return image


def _read(file: Any, name: str) -> Given:
    """What is in a file object, which has the name of its file if it has one."""
    if isinstance(own := getattr(file, "name", None), str) and own:
        name = own
    try:
        if file.seekable():
            file.seek(0)
    except (AttributeError, io.UnsupportedOperation):
        pass
    except (OSError, ValueError) as error:
        return Given(name, DataError(f"{name} cannot be read: {error}."))
    try:
        content = file.read()
    except UnicodeDecodeError:
        content = ""
    except (OSError, ValueError) as error:  # ValueError: it is closed
        return Given(name, DataError(f"{name} cannot be read: {error}."))
    if isinstance(content, str):
        raise UsageError(f"{name} is open as text: open it as bytes, open({name!r}, 'rb').")
    return Given(name, bytes(content))


def _refused(value: Any, noun: str) -> NoReturn:
    """Raises UsageError for what is no input."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    advice = " Give what is in it, one by one." if isinstance(value, Mapping) else ""
    if noun == "image":
        raise UsageError(
            f"An image is a path, bytes, a file object, an array, a tensor or an image of Pillow's, not {kind}.{advice}"
        )
    raise UsageError(
        "A recording is a path, the bytes of a file, a file object, or a pair (samples, rate in Hz), not "
        f"{kind}.{advice}"
    )
