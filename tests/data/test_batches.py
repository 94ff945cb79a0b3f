from __future__ import annotations

import io
import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from resnets.data.batches import Batch, Batches, Order, normalize
from resnets.data.folder import FolderSource, read_classes
from resnets.data.pictures import Pixels
from resnets.data.scan import scan
from resnets.data.sources import PixelSource, Source, Subset
from resnets.data.views import Affine, ColorJitter, CutMix, Flip, Mixup, PaddedCrop, PCAColor, RandomResizedCrop, Views
from resnets.errors import DataError
from resnets.preprocessing import Preprocessing, encode_mean_image

from .conftest import break_middle, noise, truncate, write_tree

SMALL = Preprocessing(resize=16, crop=12)
UNIT = Preprocessing(resize=8, crop=8, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # gives back the grey levels

EVERYTHING = Views(
    crop=RandomResizedCrop(),
    augment=(Flip(), PaddedCrop(padding=2), Affine(), ColorJitter(hue=0.1)),
    mix=(Mixup(), CutMix()),
)


@pytest.fixture
def folder(tmp_path: Path) -> FolderSource:
    return read_classes(write_tree(tmp_path, {"cat": 9, "dog": 8, "owl": 4}), None, [])


def batches(
    source: Source,
    views: Views | None = None,
    *,
    batch: int = 10,
    seed: int = 0,
    group: int | None = None,
    workers: int = 0,
    pixels: Pixels | None = None,
    preprocessing: Preprocessing = SMALL,
) -> Batches:
    return Batches(
        source,
        order=Order(len(source), batch, seed),
        views=views or Views(),
        preprocessing=preprocessing,
        seed=seed,
        group=group or batch,
        device=torch.device("cpu"),
        workers=workers,
        pixels=pixels,
    )


def same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def numbered(count: int) -> PixelSource:
    """Flat pictures, each of a class of its own, whose grey level is its number."""
    levels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    pixels = np.ascontiguousarray(np.broadcast_to(levels, (count, 3, 8, 8)))
    return PixelSource(tuple(map(str, range(count))), np.arange(count), pixels)


# --- order ------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**63 - 1))
def test_each_epoch_visits_every_sample_once_and_every_batch_is_full(samples: int, batch: int, seed: int) -> None:
    order = Order(samples, batch, seed)
    steps = -(-3 * samples // batch)
    drawn = [order.ids(step) for step in range(steps)]
    assert {len(ids) for ids in drawn} == {batch}
    visited = np.concatenate(drawn)
    for epoch in range(3):
        assert sorted(visited[epoch * samples : (epoch + 1) * samples]) == list(range(samples))
    backwards = [Order(samples, batch, seed).ids(step) for step in reversed(range(steps))]
    np.testing.assert_array_equal(np.concatenate(backwards[::-1]), visited)


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = [Order(100, 100, seed).ids(step).tolist() for seed in (0, 1) for step in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(100)) not in orders


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_without_views_training_sees_what_torchvision_would_evaluate(folder: FolderSource, workers: int) -> None:
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
        assert ids == Order(len(folder), 10, 0).ids(step).tolist()
        expected = torch.stack([theirs(Image.open(folder.name(i)).convert("RGB")) for i in ids])
        torch.testing.assert_close(batch["images"], expected, atol=1e-5, rtol=1e-5)
        assert [folder.classes[label] for label in batch["labels"]] == [Path(folder.name(i)).parent.name for i in ids]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_are_the_same_with_any_number_of_workers(folder: FolderSource, workers: int) -> None:
    expected = [batches(folder, EVERYTHING).make(step) for step in range(3, 9)]
    found = list(batches(folder, EVERYTHING, workers=workers).between(3, 9))
    assert len(found) == len(expected)
    assert all(map(same, found, expected))


def test_a_batch_can_be_made_out_of_order(folder: FolderSource) -> None:
    made = batches(folder, EVERYTHING)
    later = made.make(7)
    made.make(0)
    assert same(made.make(7), later)


def test_another_seed_gives_another_order_and_other_views(folder: FolderSource) -> None:
    first, second = (batches(folder, EVERYTHING, seed=seed).make(0) for seed in (0, 1))
    assert not torch.equal(first["ids"], second["ids"])
    assert not torch.equal(first["shares"], second["shares"])


@pytest.mark.parametrize(
    "views",
    [Views(crop=RandomResizedCrop()), *(Views(augment=(view,)) for view in EVERYTHING.augment)],
    ids=["RandomResizedCrop", *(type(view).__name__ for view in EVERYTHING.augment)],
)
def test_a_picture_looks_different_in_each_row_and_each_step(folder: FolderSource, views: Views) -> None:
    made = batches(Subset(folder, np.array([0])), views, batch=20)  # the same picture twenty times
    first, second = (made.make(step)["images"] for step in range(2))
    for one, other in ((first, second), (first, first.roll(1, 0))):
        assert (one != other).flatten(1).any(1).float().mean() > 0.2  # of flips, half are alike


def test_each_row_and_each_step_draws_its_own_shares(folder: FolderSource) -> None:
    made = batches(folder, Views(mix=(Mixup(alpha=1.0),)))
    assert len({share for step in range(3) for share in made.make(step)["shares"].tolist()}) == 30


def test_two_views_of_one_kind_draw_numbers_of_their_own(folder: FolderSource) -> None:
    once, twice = (batches(folder, Views(augment=(Flip(),) * times)) for times in (0, 2))
    changed = [not torch.equal(once.make(0)["images"][i], twice.make(0)["images"][i]) for i in range(10)]
    assert any(changed)  # had both drawn alike, the second would undo the first


@pytest.mark.parametrize("crop", [None, RandomResizedCrop()])
def test_pictures_in_memory_give_the_batches_that_decoding_gives(
    folder: FolderSource, crop: RandomResizedCrop | None
) -> None:
    views = Views(crop=crop, augment=EVERYTHING.augment, mix=EVERYTHING.mix)
    pixels = scan(folder, SMALL, keep=True, statistics=False).pixels
    decoded, resident = batches(folder, views), batches(folder, views, pixels=pixels)
    assert all(same(decoded.make(step), resident.make(step)) for step in range(3))


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("crop", [None, RandomResizedCrop()])
def test_an_unreadable_picture_ends_training_by_its_name(
    folder: FolderSource, workers: int, crop: RandomResizedCrop | None
) -> None:
    truncate(folder.path(13))
    with pytest.raises(DataError, match=str(folder.path(13))):
        list(batches(folder, Views(crop=crop), workers=workers).between(0, 3))


# --- damage -----------------------------------------------------------------------------------------------------------


def replacing(source: Source, views: Views, rows: slice | None = None, workers: int = 0) -> Batches:
    """Batches of 20 in groups of 10 whose damaged rows repeat others."""
    return Batches(
        source,
        order=Order(len(source), 20, 0),
        views=views,
        preprocessing=SMALL,
        seed=0,
        group=10,
        device=torch.device("cpu"),
        rows=rows,
        workers=workers,
        replace_damaged=True,
    )


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("views", [Views(crop=RandomResizedCrop()), EVERYTHING, Views()])
def test_a_damaged_row_repeats_the_next_readable_one_of_its_group_with_no_weight(
    folder: FolderSource, views: Views, workers: int
) -> None:
    whole = replacing(folder, views).make(0)
    made = replacing(folder, views, workers=workers)
    found: list[tuple[int, int, str]] = []
    made.on_damaged = lambda *what: found.append(what)
    ids = made.order.ids(0)
    bad = [3, 9, 10]  # the second's next row is the first of the group, the third is of another group
    for row in bad:
        break_middle(folder.path(int(ids[row])))
    batch = next(iter(made.between(0, 1)))
    assert batch["ids"].tolist() == [int(ids[{3: 4, 9: 0, 10: 11}.get(row, row)]) for row in range(20)]
    assert torch.equal(batch["labels"], torch.from_numpy(folder.labels)[batch["ids"]])
    assert batch["weights"].tolist() == [float(row not in bad) for row in range(20)]
    assert [(step, sample) for step, sample, _ in found] == [(0, int(ids[row])) for row in bad]
    assert all(str(folder.path(sample)) in reason for _, sample, reason in found)
    if not views.mix:
        good = [row for row in range(20) if row not in bad]
        assert torch.equal(batch["images"][good], whole["images"][good])
    if not views.augment:
        assert torch.equal(batch["images"][[3, 9, 10]], whole["images"][[4, 0, 11]])


@pytest.mark.parametrize("piece", [10, 5, 4])
@pytest.mark.parametrize("views", [Views(crop=RandomResizedCrop(), augment=(Flip(),)), EVERYTHING])
def test_ranks_replace_alike_though_the_readable_row_is_another_ranks(
    folder: FolderSource, views: Views, piece: int
) -> None:
    ids = replacing(folder, views).order.ids(0)
    for row in (4, 5, 9):  # the last of a piece of five, and the first of the next
        break_middle(folder.path(int(ids[row])))
    whole = replacing(folder, views).make(0)
    found: list[int] = []
    for first in range(0, 20, piece):
        part = replacing(folder, views, slice(first, first + piece))
        part.on_damaged = lambda step, sample, reason: found.append(sample)
        made = part.make(0)
        for name, value in made.items():
            assert torch.equal(value, whole[name][first : first + piece]), name
        assert ("weights" in made) or not {4, 5, 9} & set(range(first, first + piece))
    assert found == [int(ids[row]) for row in (4, 5, 9)]  # each by one rank


def test_a_group_of_which_nothing_can_be_read_is_an_error(folder: FolderSource) -> None:
    made = replacing(folder, Views(crop=RandomResizedCrop()))
    for row in range(10):
        break_middle(folder.path(int(made.order.ids(0)[row])))
    with pytest.raises(DataError, match="None of the 10 pictures"):
        made.make(0)


def test_a_picture_too_narrow_to_resize_is_named(folder: FolderSource) -> None:
    Image.new("L", (1, 50_000)).save(folder.path(13))
    with pytest.raises(DataError, match=str(folder.path(13))):
        list(batches(folder, preprocessing=Preprocessing(), workers=2).between(0, 3))


def test_leaving_the_loop_early_leaves_no_workers_behind(folder: FolderSource) -> None:
    before = threading.active_count()
    ahead = batches(folder, EVERYTHING, workers=3).between(0, 1000)
    next(ahead)
    assert threading.active_count() > before
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


# --- mixing -----------------------------------------------------------------------------------------------------------


def test_mixed_labels_weigh_as_their_pictures_do() -> None:
    batch = batches(numbered(60), Views(mix=(Mixup(alpha=1.0),)), batch=60, preprocessing=UNIT).make(0)
    own, other, shares = batch["labels"], batch["partner_labels"], batch["shares"]
    expected = shares * own + (1 - shares) * other
    torch.testing.assert_close(batch["images"], expected[:, None, None, None].expand(-1, 3, 8, 8), atol=1e-3, rtol=0)
    assert (own != other).sum() > 50
    assert shares.std() > 0.2


def test_cutmix_labels_weigh_as_their_pixels_do() -> None:
    batch = batches(numbered(60), Views(mix=(CutMix(),)), batch=60, preprocessing=UNIT).make(0)
    own, other = (batch[name][:, None, None, None] for name in ("labels", "partner_labels"))
    levels = batch["images"].round().long()
    assert ((levels == own) | (levels == other)).all()
    moved = batch["labels"] != batch["partner_labels"]
    torch.testing.assert_close((levels == own).float().mean((1, 2, 3))[moved], batch["shares"][moved])


@pytest.mark.parametrize("group", [4, 6, 12])
def test_pictures_are_mixed_within_their_group_alone(group: int) -> None:
    made = batches(numbered(50), Views(mix=(Mixup(),)), batch=12, group=group, preprocessing=UNIT)
    for step in range(20):
        drawn = made.make(step)
        for first in range(0, 12, group):
            part = slice(first, first + group)
            assert sorted(drawn["partner_labels"][part]) == sorted(drawn["labels"][part])


def test_of_several_mixes_each_step_takes_one() -> None:
    made = batches(numbered(50), Views(mix=(Mixup(), CutMix())), preprocessing=UNIT)
    blended = [
        any(len(picture.unique()) == 1 and picture.max() % 1 > 0.01 for picture in made.make(step)["images"])
        for step in range(60)
    ]
    assert 15 < sum(blended) < 45


def test_without_a_mix_there_are_no_partners(folder: FolderSource) -> None:
    assert batches(folder).make(0).keys() == {"ids", "images", "labels"}


# --- normalising ------------------------------------------------------------------------------------------------------


def test_normalising_is_torchvisions_for_bytes_and_floats() -> None:
    images = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = transforms.Normalize(SMALL.mean, SMALL.std)(images / 255)
    torch.testing.assert_close(normalize(images, SMALL), expected)
    torch.testing.assert_close(normalize(images / 255, SMALL), expected)


def test_a_mean_image_is_taken_out_pixel_by_pixel() -> None:
    mean = np.random.default_rng(0).random((3, 12, 12), np.float32)
    p = Preprocessing(resize=16, crop=12, std=(0.5, 1.0, 2.0), mean_image=encode_mean_image(mean))
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = (images.numpy() - mean) / np.array([0.5, 1.0, 2.0], np.float32)[:, None, None]
    torch.testing.assert_close(normalize(images, p), torch.from_numpy(expected))


@pytest.mark.parametrize("batch", [7, 10])
def test_an_alternating_flip_shows_each_picture_the_other_way_in_the_next_epoch(batch: int) -> None:
    g = np.random.default_rng(0)
    source = PixelSource(("a",), np.zeros(40, np.int64), g.integers(0, 255, (40, 3, 8, 8), dtype=np.uint8))
    made = batches(source, Views(augment=(Flip(alternating=True),)), batch=batch, pixels=source.pixels)
    straight = batches(source, Views(), batch=batch, pixels=source.pixels)
    seen: dict[int, list[bool]] = {}
    for step in range(4 * 40 // batch):
        flipped, plain = made.make(step), straight.make(step)
        for i, one, other in zip(flipped["ids"].tolist(), flipped["images"], plain["images"], strict=True):
            assert torch.equal(one, other) or torch.equal(one, other.flip(-1))
            seen.setdefault(i, []).append(not torch.equal(one, other))
    for found in seen.values():
        assert all(a != b for a, b in itertools.pairwise(found))
    assert 8 < sum(found[0] for found in seen.values()) < 32


def test_colours_change_alike_whatever_the_order_of_the_channels(folder: FolderSource) -> None:
    views = Views(augment=(ColorJitter(hue=0.2), PCAColor(std=1)))
    rgb = Preprocessing(resize=16, crop=12, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    bgr = Preprocessing(resize=16, crop=12, mean=(0.3, 0.2, 0.1), std=(0.7, 0.6, 0.5), color="BGR")
    one, other = (batches(folder, views, preprocessing=each).make(0)["images"] for each in (rgb, bgr))
    assert torch.equal(one, other.flip(1))


@pytest.mark.parametrize("ending", ["png", "webp", "jpg", "tif"])
@pytest.mark.parametrize("crop", [RandomResizedCrop(), None])
def test_an_image_file_is_read_once(
    tmp_path: Path, ending: str, crop: RandomResizedCrop | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat").mkdir()
    Image.fromarray(noise(40, 30)).save(tmp_path / "cat" / f"1.{ending}")
    source = read_classes(tmp_path, None, [])
    opened: list[str] = []
    plain_open = io.open

    def count(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return plain_open(file, *arguments, **options)

    made = batches(source, Views(crop=crop), batch=1).make(0)["images"]
    monkeypatch.setattr("builtins.open", count)
    monkeypatch.setattr("io.open", count)
    assert batches(source, Views(crop=crop), batch=1).make(0)["images"].equal(made)
    assert [file for file in opened if file.endswith(ending)] == [str(tmp_path / "cat" / f"1.{ending}")]
