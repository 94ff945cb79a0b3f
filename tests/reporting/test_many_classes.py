"""The report of many classes: the confusion matrix as an image, groups that are framed, long names, and its size."""

from __future__ import annotations

import base64
import io
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix

from resnets.reporting.heat_map import MOST_CELLS, NAMED, RIGHT, WRONG, heat_map
from resnets.reporting.names import short_path, shortened
from resnets.tasks.classification.confusions import GROUP_CLASSES, GROUPS, confused_groups
from resnets.tasks.sections import HeatMap
from tests.reporting.test_report import random_result, result, write

Counts = NDArray[np.int64]


def pixels(svg: str) -> NDArray[np.uint8]:
    """(cells, cells, 4)."""
    image = ElementTree.fromstring(svg).find(".//image")
    assert image is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].partition(",")[2]))).convert("RGBA"))


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("text")]


def random_counts(classes: int, seed: int = 0) -> Counts:
    """Of a model that has most samples right; some classes have none."""
    random = np.random.default_rng(seed)
    found = np.where(random.random((classes, classes)) < 0.02, random.integers(0, 9, (classes, classes)), 0)
    found += np.diag(random.integers(0, 40, classes))
    return found * (random.random((classes, 1)) < 0.9)


@pytest.mark.parametrize("classes", [31, 300, MOST_CELLS])
def test_each_cell_is_a_pixel_green_where_right_and_redder_the_more_often(classes: int) -> None:
    counts = random_counts(classes)
    found = pixels(heat_map(HeatMap("m", tuple(map(str, range(classes))), counts))).astype(int)
    assert found.shape == (classes, classes, 4)
    assert ((found[..., 3] > 0) == (counts > 0)).all()
    diagonal = np.eye(classes, dtype=bool)
    assert {tuple(each[:3]) for each in found[diagonal & (counts > 0)].tolist()} == {RIGHT}
    assert {tuple(each[:3]) for each in found[~diagonal & (counts > 0)].tolist()} == {WRONG}
    wrong = counts[~diagonal]
    order = np.argsort(wrong, kind="stable")
    assert (np.diff(found[..., 3][~diagonal][order]) >= 0).all()
    assert found[..., 3][~diagonal][wrong == wrong.max()].min() == 255


def test_no_error_is_lost_where_classes_share_a_cell() -> None:
    classes = 2 * MOST_CELLS + 1
    counts = np.diag(np.full(classes, 10))
    counts[3, classes - 1] = 1
    svg = heat_map(HeatMap("m", ("n",) * classes, counts))
    found = pixels(svg)
    assert len(found) == -(-classes // 3)
    assert (np.argwhere((found[..., 3] > 0) & ~np.eye(len(found), dtype=bool)) == [[1, len(found) - 1]]).all()
    assert len(svg) < 50_000


def test_groups_that_are_taken_for_each_other_stand_together_and_are_framed() -> None:
    classes, random = 300, np.random.default_rng(0)
    shuffled = random.permutation(classes)
    planted = [set(shuffled[start : start + size].tolist()) for start, size in ((0, 2), (2, 5), (7, GROUP_CLASSES))]
    counts = np.diag(np.full(classes, 20))
    for group in planted:
        for i in group:
            for j in group - {i}:
                counts[i, j] = 3
    order, groups = confused_groups(counts)
    assert sorted(order.tolist()) == list(range(classes))
    found = [set(order[start : start + size].tolist()) for start, size in groups]
    assert found == planted[::-1]  # the most errors a class first


@pytest.mark.parametrize("classes", [31, 150])
def test_groups_are_apart_and_not_large(classes: int) -> None:
    order, groups = confused_groups(random_counts(classes))
    assert sorted(order.tolist()) == list(range(classes))
    assert 0 < len(groups) <= GROUPS
    taken = [place for start, size in groups for place in range(start, start + size)]
    assert len(set(taken)) == len(taken)
    assert max(size for _, size in groups) <= GROUP_CLASSES


def test_a_model_without_errors_has_no_groups() -> None:
    counts = np.diag(np.arange(40))
    order, groups = confused_groups(counts)
    assert groups == ()
    assert sorted(order.tolist()) == list(range(40))


def test_the_table_below_has_the_classes_of_each_frame_and_their_errors(tmp_path: Path) -> None:
    labels = torch.arange(40).repeat(10)
    predicted = labels.clone()
    predicted[:5] = torch.tensor([7, 7, 2, 3, 4])
    predicted[47] = 0
    names = tuple(f"<i>{i}</i>" for i in range(40))
    page = write(tmp_path, result(torch.eye(40)[predicted] * 9, labels.tolist(), names))
    ((group, frame, errors, share),) = page.table("classes")
    assert set(re.sub("[\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}]", "", group).split(", ")) == {
        "<i>0</i>", "<i>1</i>", "<i>7</i>",
    }  # fmt: skip
    assert (frame, errors, share) == ("1", "3", "100.0%")


NAMES = (
    "$x^2$",
    "<b>&amp;</b>",
    "bell\x07",
    "two\nlines",
    "gr\udcf6n",
    "صنف طويل الاسم جدا جدا جدا",
    "犬の種類の名前",
    "",
)


@pytest.mark.parametrize("classes", [NAMED, NAMED + 1])
def test_names_of_any_kind_stand_at_the_axes_where_there_is_room(classes: int) -> None:
    names = (*NAMES, *(f"class {i}" for i in range(classes - len(NAMES))))
    found = texts(heat_map(HeatMap("m", names, random_counts(classes))))
    if classes > NAMED:
        assert found == ["predicted", "true"]
        return
    for name in ("$x^2$", "<b>&amp;</b>", r"bell\x07", r"two\nlines", r"gr\udcf6n", shortened(NAMES[5]), NAMES[6]):
        assert found.count(name) == 2


def test_long_names_keep_their_start_and_their_end() -> None:
    assert shortened("Staffordshire bullterrier, number 17") == "Staffordshir…, number 17"
    assert shortened("a" * 24) == "a" * 24
    assert shortened("犬" * 12) == "犬" * 12
    assert shortened("犬" * 13) == "犬" * 6 + "…" + "犬" * 5
    assert short_path("/data/photos/test/cat/1.jpg") == "cat/1.jpg"
    assert short_path(r"C:\data\cat\1.jpg") == "cat/1.jpg"
    assert len(short_path(f"/data/{'c' * 40}/{'9' * 40}.jpg")) == 18


def test_many_classes_stand_the_worst_first_and_those_without_samples_last(tmp_path: Path) -> None:
    labels = torch.randint(49, (900,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(900, 50, generator=torch.Generator().manual_seed(1))
    logits[torch.arange(900), labels] += torch.linspace(0, 6, 50)[labels]
    scores, dataset, card = result(logits, labels.tolist(), tuple(f"class {i}" for i in range(50)))
    shown = write(tmp_path, (scores, dataset, card)).table("class")
    f1 = {name: each["f1"] for name, each in scores.metrics["classes"].items()}
    assert [row[0] for row in shown] == [*sorted(list(f1)[:49], key=f1.__getitem__), "class 49"]


def test_many_classes_show_their_most_frequent_confusions(tmp_path: Path) -> None:
    scores, dataset, card = random_result(200, samples=3000)
    shown = write(tmp_path, (scores, dataset, card)).table("true")
    table = confusion_matrix(scores.records["label"], scores.records["predicted"])
    np.fill_diagonal(table, 0)
    assert [int(row[2]) for row in shown] == sorted(table.flatten().tolist(), reverse=True)[:30]
    for true, taken_for, times in shown:
        assert table[card.classes.index(true), card.classes.index(taken_for)] == int(times)


def test_the_page_of_10_000_images_and_300_classes_is_small_and_soon_written(tmp_path: Path) -> None:
    found, started = random_result(300, samples=10_000), time.process_time()
    write(tmp_path, found)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert time.process_time() - started < 30


def test_a_page_of_a_thousand_classes_is_small_and_has_them_all(tmp_path: Path) -> None:
    page = write(tmp_path, random_result(1000, samples=5000))
    assert len(page.table("class")) == 1000
    assert (tmp_path / "report.html").stat().st_size < 300_000
