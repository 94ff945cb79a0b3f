"""Memory that decoding takes: known from the header, bounded over all threads, and refused where one takes too much."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.read import decode_memory, jpeg
from resnets.modalities.image.read.decode_memory import LIMIT, needed_for, needed_for_jpeg, one_image, reserve
from resnets.modalities.image.read.jpeg_header import read_header as read_jpeg_header
from resnets.modalities.image.read.pillow import open_image, read_header
from tests.conftest import noise

ODD = Path(__file__).parent / "odd"
SIDE = 100


def saved(format: str, mode: str = "RGB", **options: object) -> bytes:
    channels = len(Image.new(mode, (1, 1)).getbands())
    image = Image.frombytes(mode, (SIDE, SIDE), noise(SIDE, SIDE * channels, 1).tobytes())
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_jpeg_2000_of_2_kb_that_takes_3_gib_is_refused_by_its_header() -> None:
    path = ODD / "178-megapixels.jp2"
    with pytest.raises(DataError, match=r"178-megapixels\.jp2 needs about 3,242 MiB .*1,024 MiB is the most"):
        open_image(path)


# Bytes a pixel, measured with Pillow 13 at 16 megapixels: the process's peak less what it was before.
@pytest.mark.parametrize(
    ("measured", "format", "mode", "options"),
    [
        (5.0, "JPEG", "L", {}),
        (4.0, "JPEG", "RGB", {}),
        (10.0, "JPEG", "RGB", {"subsampling": 0, "progressive": True}),
        (7.0, "JPEG", "RGB", {"progressive": True}),
        (8.1, "JPEG", "CMYK", {}),
        (5.0, "PNG", "L", {}),
        (4.0, "PNG", "RGB", {}),
        (8.0, "PNG", "RGBA", {}),
        (16.0, "WEBP", "RGB", {}),
        (16.0, "WEBP", "RGBA", {}),
        (19.1, "JPEG2000", "RGB", {}),
        (6.1, "JPEG2000", "L", {}),
        (14.1, "JPEG2000", "LA", {}),
        (24.2, "JPEG2000", "RGBA", {}),
        (4.3, "JPEG2000", "RGB", {"tile_size": (16, 16)}),
        (4.1, "TIFF", "RGB", {}),
        (7.0, "TIFF", "RGB", {"compression": "tiff_lzw", "tiffinfo": {278: SIDE}}),
        (5.1, "TIFF", "L", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 1}}),
        (4.0, "BMP", "RGB", {}),
        (5.0, "GIF", "P", {}),
        (4.0, "PPM", "RGB", {}),
    ],
)
def test_the_memory_that_decoding_takes_follows_from_the_header(
    measured: float, format: str, mode: str, options: dict[str, object]
) -> None:
    needed = needed_for(read_header(saved(format, mode, **options))) / SIDE**2
    assert measured - 0.2 <= needed <= measured + 2.1


def test_one_header_counts_for_both_jpeg_decoders() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for options in ({}, {"progressive": True}, {"exif": turned}, {"exif": turned, "subsampling": 0}):
        data = saved("JPEG", **options)
        assert needed_for(read_header(data)) == needed_for_jpeg(read_jpeg_header(data))
    assert needed_for(read_header(saved("JPEG", exif=turned))) == 8 * SIDE**2


def test_an_image_above_the_limit_is_refused_by_both_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved("JPEG")
    assert jpeg.decode(data) is not None
    monkeypatch.setattr(decode_memory, "SMALL", 0)
    monkeypatch.setattr(decode_memory, "LIMIT", 30_000)
    assert jpeg.decode(data) is None
    with pytest.raises(DataError, match="needs about"):
        open_image(data)


def test_threads_never_hold_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    most, lock = 0, threading.Lock()

    def hold(needed: int) -> None:
        nonlocal most
        with one_image():
            reserve(needed, "x")
            with lock:
                most = max(most, decode_memory._reserved)

    monkeypatch.setattr(decode_memory, "LIMIT", 100)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, np.random.default_rng(0).integers(1, 101, 400).tolist()))
    assert 50 < most <= 100
    assert decode_memory._reserved == 0


def test_a_large_image_waits_is_alone_and_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "LIMIT", 100)
    order: list[str] = []
    release, waits = threading.Event(), threading.Event()

    def small_first() -> None:
        with one_image():
            reserve(40, "first")
            waits.set()
            release.wait(10)
            order.append("first ends")

    def take(name: str, needed: int) -> None:
        with one_image():
            reserve(needed, name)
            order.append(name)

    def blocked() -> None:
        for _ in range(1000):  # until the large one waits
            if decode_memory._turn.locked():
                return
            threading.Event().wait(0.005)

    first = threading.Thread(target=small_first)
    first.start()
    waits.wait(10)
    large = threading.Thread(target=take, args=("large", 100))
    large.start()
    blocked()
    later = threading.Thread(target=take, args=("later", 10))
    later.start()
    release.set()
    for thread in (first, large, later):
        thread.join(10)
    assert order == ["first ends", "large", "later"]


def test_what_is_reserved_stays_so_until_the_image_is_done_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "SMALL", 0)
    with one_image():
        open_image(saved("PNG"))
        assert decode_memory._reserved == 4 * SIDE**2
        open_image(saved("JPEG", "L"))  # the next image in its place: a thread never waits for itself
        assert decode_memory._reserved == 5 * SIDE**2
    assert decode_memory._reserved == 0
    with pytest.raises(DataError), one_image():
        open_image(saved("PNG")[:500])
    assert decode_memory._reserved == 0


def test_ordinary_images_pass_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "reserve", None)
    for format in ("JPEG", "PNG", "WEBP"):
        open_image(saved(format))
    assert jpeg.decode(saved("JPEG")) is not None
    assert decode_memory.SMALL * 25 <= LIMIT // 32


def test_every_way_to_an_input_holds_the_memory_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, evaluation, the scan and predict crop while what they decoded is still reserved."""
    from resnets.data.loader import Batches
    from resnets.data.sampler import EpochSampler
    from resnets.data.scan import scan
    from resnets.evaluation.predictor import NetworkPredictor
    from resnets.modalities.image.datasets.folder import read_classes
    from resnets.modalities.image.preprocessing import Preprocessing
    from resnets.modalities.image.transforms import Augmentations, RandomResizedCrop, resize
    from resnets.modalities.inputs import open_reader
    from resnets.tasks.classification.task import Classification

    monkeypatch.setattr(decode_memory, "SMALL", 0)
    for number, format in enumerate(("JPEG", "PNG")):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{number}.{format.lower()}").write_bytes(saved(format))
    dataset = read_classes(tmp_path, None, [])
    p = Preprocessing(resize=16, crop=12)
    reserved: list[int] = []

    def noted(function: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            reserved.append(decode_memory._reserved)
            return function(*arguments, **options)  # type: ignore[operator]

        return call

    for module, name in ((resize, "resize"), (RandomResizedCrop, "crop_pixels")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    for crop in (None, RandomResizedCrop()):
        Batches(
            dataset,
            sampler=EpochSampler(2, 2, 0),
            reader=open_reader(p, Augmentations(crop=crop)),
            seed=0,
            bn_batch=2,
            device=torch.device("cpu"),
        ).make(0)
    scan(dataset, open_reader(p), keep=True, statistics=False)
    NetworkPredictor(torch.nn.Identity(), Classification(), open_reader(p)).load(dataset, 0)
    assert len(reserved) == 7
    assert all(value >= 4 * SIDE**2 for value in reserved)
    assert decode_memory._reserved == 0
