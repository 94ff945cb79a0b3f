from __future__ import annotations

import io
import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from resnets.core.errors import DataError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.data.scan import scan
from resnets.modalities.base import Dataset, Subset
from resnets.modalities.batch import Batch
from resnets.modalities.image.datasets.folder import FolderDataset, read_classes
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.image.transforms import (
    Augmentations,
    ColorJitter,
    CutMix,
    Flip,
    Mixup,
    PCAColor,
    RandomResizedCrop,
)
from resnets.modalities.inputs import open_reader
from tests.conftest import noise, truncate
from tests.data.conftest import EVERYTHING, SMALL

UNIT = Preprocessing(resize=8, crop=8, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # gives back the grey levels


def batches(
    dataset: Dataset,
    augmentations: Augmentations | None = None,
    *,
    batch: int = 10,
    seed: int = 0,
    bn_batch: int | None = None,
    workers: int = 0,
    pixels: Pixels | None = None,
    preprocessing: Preprocessing = SMALL,
) -> Batches:
    return Batches(
        dataset,
        sampler=EpochSampler(len(dataset), batch, seed),
        reader=open_reader(preprocessing, augmentations),
        seed=seed,
        bn_batch=bn_batch or batch,
        device=torch.device("cpu"),
        workers=workers,
        prepared=pixels,
    )


def same(first: Batch, second: Batch) -> bool:
    return first.dense.keys() == second.dense.keys() and all(
        torch.equal(first[name], second[name]) for name in first.dense
    )


def numbered(count: int) -> InMemoryDataset:
    """Flat images, each of a class of its own, whose grey level is its number."""
    levels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    pixels = np.ascontiguousarray(np.broadcast_to(levels, (count, 3, 8, 8)))
    return InMemoryDataset(tuple(map(str, range(count))), np.arange(count), pixels)


@pytest.mark.parametrize("workers", [0, 2])
def test_without_augmentations_images_are_torchvisions_for_evaluation(folder: FolderDataset, workers: int) -> None:
    theirs = transforms.Compose(
        [
            transforms.Resize(16),
            transforms.CenterCrop(12),
            transforms.ToTensor(),
            transforms.Normalize(SMALL.mean, SMALL.std),
        ]
    )
    for step, batch in enumerate(batches(folder, workers=workers).between(0, 5)):
        ids = batch["ids"].tolist()
        assert ids == EpochSampler(len(folder), 10, 0).ids(step).tolist()
        expected = torch.stack([theirs(Image.open(folder.name(i)).convert("RGB")) for i in ids])
        torch.testing.assert_close(batch["inputs"], expected, atol=1e-5, rtol=1e-5)
        assert [folder.classes[label] for label in batch["labels"]] == [Path(folder.name(i)).parent.name for i in ids]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_are_the_same_with_any_number_of_workers(folder: FolderDataset, workers: int) -> None:
    expected = [batches(folder, EVERYTHING).make(step) for step in range(3, 9)]
    found = list(batches(folder, EVERYTHING, workers=workers).between(3, 9))
    assert len(found) == len(expected)
    assert all(map(same, found, expected))


def test_a_batch_can_be_made_out_of_order(folder: FolderDataset) -> None:
    made = batches(folder, EVERYTHING)
    later = made.make(7)
    made.make(0)
    assert same(made.make(7), later)


def test_another_seed_gives_another_order_and_other_augmentations(folder: FolderDataset) -> None:
    first, second = (batches(folder, EVERYTHING, seed=seed).make(0) for seed in (0, 1))
    assert not torch.equal(first["ids"], second["ids"])
    assert not torch.equal(first["lam"], second["lam"])


@pytest.mark.parametrize(
    "augmentations",
    [
        Augmentations(crop=RandomResizedCrop()),
        *(Augmentations(transforms=(transform,)) for transform in EVERYTHING.transforms),
    ],
    ids=["RandomResizedCrop", *(type(transform).__name__ for transform in EVERYTHING.transforms)],
)
def test_an_image_is_augmented_differently_in_each_row_and_each_step(
    folder: FolderDataset, augmentations: Augmentations
) -> None:
    made = batches(Subset(folder, np.array([0])), augmentations, batch=20)  # the same image twenty times
    first, second = (made.make(step)["inputs"] for step in range(2))
    for one, other in ((first, second), (first, first.roll(1, 0))):
        assert (one != other).flatten(1).any(1).float().mean() > 0.2  # of flips, half are alike


def test_each_row_and_each_step_has_its_own_lam(folder: FolderDataset) -> None:
    made = batches(folder, Augmentations(mix=(Mixup(alpha=1.0),)))
    assert len({lam for step in range(3) for lam in made.make(step)["lam"].tolist()}) == 30


def test_two_transforms_of_one_kind_have_numbers_of_their_own(folder: FolderDataset) -> None:
    once, twice = (batches(folder, Augmentations(transforms=(Flip(),) * times)) for times in (0, 2))
    changed = [not torch.equal(once.make(0)["inputs"][i], twice.make(0)["inputs"][i]) for i in range(10)]
    assert any(changed)  # had both drawn alike, the second would undo the first


@pytest.mark.parametrize("crop", [None, RandomResizedCrop()])
def test_images_in_memory_give_the_batches_that_decoding_gives(
    folder: FolderDataset, crop: RandomResizedCrop | None
) -> None:
    augmentations = Augmentations(crop=crop, transforms=EVERYTHING.transforms, mix=EVERYTHING.mix)
    pixels = scan(folder, open_reader(SMALL), keep=True, statistics=False).prepared
    decoded, resident = batches(folder, augmentations), batches(folder, augmentations, pixels=pixels)
    assert all(same(decoded.make(step), resident.make(step)) for step in range(3))


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("crop", [None, RandomResizedCrop()])
def test_an_unreadable_image_ends_training_by_its_name(
    folder: FolderDataset, workers: int, crop: RandomResizedCrop | None
) -> None:
    truncate(folder.path(13))
    with pytest.raises(DataError, match=str(folder.path(13))):
        list(batches(folder, Augmentations(crop=crop), workers=workers).between(0, 3))


def test_an_image_too_narrow_to_resize_is_named(folder: FolderDataset) -> None:
    Image.new("L", (1, 50_000)).save(folder.path(13))
    with pytest.raises(DataError, match=str(folder.path(13))):
        list(batches(folder, preprocessing=Preprocessing(), workers=2).between(0, 3))


def test_leaving_the_loop_early_leaves_no_workers_behind(folder: FolderDataset) -> None:
    before = threading.active_count()
    prefetch = batches(folder, EVERYTHING, workers=3).between(0, 1000)
    next(prefetch)
    assert threading.active_count() > before
    prefetch.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_mixed_labels_weigh_as_their_images_do() -> None:
    batch = batches(numbered(60), Augmentations(mix=(Mixup(alpha=1.0),)), batch=60, preprocessing=UNIT).make(0)
    own, other, lam = batch["labels"], batch["partner_labels"], batch["lam"]
    expected = lam * own + (1 - lam) * other
    torch.testing.assert_close(batch["inputs"], expected[:, None, None, None].expand(-1, 3, 8, 8), atol=1e-3, rtol=0)
    assert (own != other).sum() > 50
    assert lam.std() > 0.2


def test_cutmix_labels_weigh_as_their_pixels_do() -> None:
    batch = batches(numbered(60), Augmentations(mix=(CutMix(),)), batch=60, preprocessing=UNIT).make(0)
    own, other = (batch[name][:, None, None, None] for name in ("labels", "partner_labels"))
    levels = batch["inputs"].round().long()
    assert ((levels == own) | (levels == other)).all()
    moved = batch["labels"] != batch["partner_labels"]
    torch.testing.assert_close((levels == own).float().mean((1, 2, 3))[moved], batch["lam"][moved])


@pytest.mark.parametrize("bn_batch", [4, 6, 12])
def test_images_are_mixed_within_their_ghost_batch_alone(bn_batch: int) -> None:
    made = batches(numbered(50), Augmentations(mix=(Mixup(),)), batch=12, bn_batch=bn_batch, preprocessing=UNIT)
    for step in range(20):
        drawn = made.make(step)
        for first in range(0, 12, bn_batch):
            part = slice(first, first + bn_batch)
            assert sorted(drawn["partner_labels"][part]) == sorted(drawn["labels"][part])


def test_of_several_mixes_each_step_takes_one() -> None:
    made = batches(numbered(50), Augmentations(mix=(Mixup(), CutMix())), preprocessing=UNIT)
    blended = [
        any(len(image.unique()) == 1 and image.max() % 1 > 0.01 for image in made.make(step)["inputs"])
        for step in range(60)
    ]
    assert 15 < sum(blended) < 45


def test_without_a_mix_there_are_no_partners(folder: FolderDataset) -> None:
    assert batches(folder).make(0).dense.keys() == {"ids", "inputs", "labels"}


@pytest.mark.parametrize("batch", [7, 10])
def test_an_alternating_flip_shows_each_image_the_other_way_in_the_next_epoch(batch: int) -> None:
    g = np.random.default_rng(0)
    dataset = InMemoryDataset(("a",), np.zeros(40, np.int64), g.integers(0, 255, (40, 3, 8, 8), dtype=np.uint8))
    made = batches(dataset, Augmentations(transforms=(Flip(alternating=True),)), batch=batch, pixels=dataset.pixels)
    straight = batches(dataset, Augmentations(), batch=batch, pixels=dataset.pixels)
    seen: dict[int, list[bool]] = {}
    for step in range(4 * 40 // batch):
        flipped, plain = made.make(step), straight.make(step)
        for i, one, other in zip(flipped["ids"].tolist(), flipped["inputs"], plain["inputs"], strict=True):
            assert torch.equal(one, other) or torch.equal(one, other.flip(-1))
            seen.setdefault(i, []).append(not torch.equal(one, other))
    for found in seen.values():
        assert all(a != b for a, b in itertools.pairwise(found))
    assert 8 < sum(found[0] for found in seen.values()) < 32


def test_colours_change_alike_whatever_the_order_of_the_channels(folder: FolderDataset) -> None:
    augmentations = Augmentations(transforms=(ColorJitter(hue=0.2), PCAColor(std=1)))
    rgb = Preprocessing(resize=16, crop=12, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    bgr = Preprocessing(resize=16, crop=12, mean=(0.3, 0.2, 0.1), std=(0.7, 0.6, 0.5), color="BGR")
    one, other = (batches(folder, augmentations, preprocessing=each).make(0)["inputs"] for each in (rgb, bgr))
    assert torch.equal(one, other.flip(1))


@pytest.mark.parametrize("ending", ["png", "webp", "jpg", "tif"])
@pytest.mark.parametrize("crop", [RandomResizedCrop(), None])
def test_an_image_file_is_read_once(
    tmp_path: Path, ending: str, crop: RandomResizedCrop | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat").mkdir()
    Image.fromarray(noise(40, 30)).save(tmp_path / "cat" / f"1.{ending}")
    dataset = read_classes(tmp_path, None, [])
    opened: list[str] = []
    plain_open = io.open

    def count(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return plain_open(file, *arguments, **options)

    made = batches(dataset, Augmentations(crop=crop), batch=1).make(0)["inputs"]
    monkeypatch.setattr("builtins.open", count)
    monkeypatch.setattr("io.open", count)
    assert batches(dataset, Augmentations(crop=crop), batch=1).make(0)["inputs"].equal(made)
    assert [file for file in opened if file.endswith(ending)] == [str(tmp_path / "cat" / f"1.{ending}")]
