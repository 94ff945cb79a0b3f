"""Images to predict: paths, bytes and Pillow's images are one dataset without targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.datasets.given import GivenImages
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.inputs import dataset_of, open_reader
from tests.conftest import noise


def test_whatever_is_given_is_the_same_image(tmp_path: Path) -> None:
    path = tmp_path / "it.png"
    image = Image.fromarray(noise(20, 30))
    image.save(path)
    dataset = dataset_of(Preprocessing(), [path, str(path), path.read_bytes(), image])
    assert isinstance(dataset, GivenImages)
    assert len(dataset) == 4
    for index in range(4):
        np.testing.assert_array_equal(np.asarray(dataset.image(index, "RGB")), np.asarray(image))
    assert [dataset.name(i) for i in range(4)] == [str(path), str(path), "image 2", "image 3"]
    assert dataset.encoded(2) == path.read_bytes()
    reader = open_reader(Preprocessing(resize=16, crop=12))
    crops = [reader.load(dataset, index, "flip").inputs for index in range(4)]
    assert all(np.array_equal(own, first) for each in crops for own, first in zip(each, crops[0], strict=True))


def test_there_are_no_targets() -> None:
    dataset = GivenImages((Image.new("RGB", (4, 4)),) * 3)
    assert (dict(dataset.targets), dataset.target(1), dataset.classes, dataset.on_disk) == ({}, {}, (), ())
    assert dataset.strata.tolist() == [0, 0, 0]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no image")
    dataset = GivenImages((tmp_path / "no.png", b"no image"))
    with pytest.raises(DataError, match=str(tmp_path / "no.png")):
        dataset.image(0, "RGB")
    with pytest.raises(DataError, match="image 1 is not an image"):
        dataset.image(1, "RGB")
