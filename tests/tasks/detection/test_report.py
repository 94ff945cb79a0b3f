"""What a report and the terminal say of a detector."""

from __future__ import annotations

import base64
import io
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.reporting.charts import line_chart
from resnets.reporting.pages import inline_svg, render
from resnets.reporting.thumbnails import LARGE, LEAST, thumbnail
from resnets.tasks.base import SampleRecords
from resnets.tasks.detection import report
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.galleries import MOST_LABELS, RIGHT, SILENT, WRONG
from resnets.tasks.detection.metrics import metrics
from resnets.tasks.records import ragged
from resnets.tasks.sections import Charts, Gallery, GalleryItem, Headline, Outline, Section, Table
from tests.tasks.detection.cases import answers_near, random_truth, records_of, without_sizes

CLASSES = ("<ant>", "bee", "cat")
IDS = np.array([4, 9])


@pytest.fixture(scope="module")
def records() -> SampleRecords:
    """Two images of 100 x 200 px: in the first an ant is found, a cat is taken for a bee, and another is missed; in the
    second a bee is found where there is a group."""
    first: dict[str, Any] = {
        "boxes": np.array([[0.0, 0, 20, 20], [50, 0, 90, 40], [100, 0, 200, 100]]), "labels": np.array([0, 2, 2]),
        "crowds": np.zeros(3, bool), "difficult": np.zeros(3, bool), "areas": np.array([400.0, 1600, 10000]),
    }  # fmt: skip
    second = {
        **{name: values[:1] for name, values in first.items()},
        "labels": np.array([1]),
        "crowds": np.ones(1, bool),
    }
    answers = [
        DetectedImage((100, 200), first["boxes"][:2], np.array([0.9, 0.8]), np.array([0, 1])),
        DetectedImage((100, 200), first["boxes"][:1] + 1, np.array([0.6]), np.array([1])),
    ]
    found = records_of(answers, [first, second])
    found["loss"] = np.array([0.25, 0.75])
    return found


def of_kind(found: tuple[Section, ...], title: str) -> Any:
    return next(each for each in found if title in getattr(each, "title", ""))


def test_the_galleries_show_what_is_wrong(records: SampleRecords) -> None:
    found = report.sections(records, metrics(records, CLASSES), IDS, CLASSES)
    worst: Gallery = of_kind(found, "Images")
    assert [item.sample for item in worst.items] == [4, 4, 9, 9]
    answers, truth, of_group, group = (item.outlines or () for item in worst.items)
    assert [(each.label, each.color) for each in answers] == [("bee 80%", WRONG), ("<ant> 90%", RIGHT)]
    assert [(each.label, each.color) for each in truth] == [("cat", WRONG), ("cat", WRONG), ("<ant>", RIGHT)]
    assert [each.color for each in (*of_group, *group)] == [SILENT, SILENT]
    assert answers[1].box == pytest.approx((0, 0, 0.1, 0.2))
    assert worst.items[0].caption[0].text == "1 wrong, 2 missed"

    wrong: Gallery = of_kind(found, "wrong answer")
    assert [item.sample for item in wrong.items] == [4]
    assert "".join(span.text for span in wrong.items[0].caption) == "bee 80%, class"
    assert [each.label for each in wrong.items[0].outlines or ()] == ["bee 80%", "cat"]
    assert wrong.items[0].part == pytest.approx((0.05, 0, 0.65, 0.8))
    missed: Gallery = of_kind(found, "missed")
    assert [item.caption[1].text for item in missed.items] == [" of 100 x 100 px", " of 40 x 40 px"]
    assert [[each.label for each in item.outlines or ()] for item in missed.items] == [["cat"], ["cat", "bee 80%"]]


def test_the_tables_count_errors(records: SampleRecords) -> None:
    found = report.sections(records, metrics(records, CLASSES), IDS, CLASSES)
    kinds: Table = of_kind(found, "by kind")
    assert [row[:2] for row in kinds.rows] == [
        ("localization", "0"), ("class", "1"), ("class and localization", "0"), ("duplicate", "0"), ("background", "0"),
        ("miss", "1"),
    ]  # fmt: skip
    sizes: Table = of_kind(found, "by size")
    assert [row[:6] for row in sizes.rows] == [
        ("small", "1", "1", "0", "100.0%", "0"), ("medium", "1", "0", "1", "0.0%", "1"),
        ("large", "1", "0", "1", "0.0%", "0"),
    ]  # fmt: skip
    classes: Table = of_kind(found, "Classes")
    assert [row[0] for row in classes.rows] == list(CLASSES)
    assert classes.rows[0][1:3] == ("100.0%", "100.0%")
    assert classes.rows[1] == ("bee", "-", "-", "0.0%", "-", "0.0%", "0.500", "0")
    curves: Charts = of_kind(found, "Precision and recall")
    assert [curve.name for curve in curves.charts[0].curves] == ["cat", "<ant>"]
    assert list(curves.charts[0].curves[1].points) == [(100, 100)]


def test_the_numbers_of_masks_stand_beside_those_of_boxes() -> None:
    truth = random_truth(0, 3, masks=True)
    own = records_of(answers_near(truth, 3, masks=True), without_sizes(truth))
    figures = metrics(own, CLASSES)
    numbers: Table = of_kind(report.sections(own, figures, np.arange(12), CLASSES), "Average precision")
    assert numbers.columns == ("", "boxes", "masks")
    assert numbers.rows[0] == ("AP", f"{figures['ap']:.1%}", f"{figures['mask_ap']:.1%}")
    assert {len(row) for row in numbers.rows} == {3}
    said = report.lines(figures, "val")
    assert f"masks: AP {figures['mask_ap']:.1%}" in said[1]
    headline: Headline = report.headline("t", figures, "val")
    assert f"of masks {figures['mask_ap']:.1%}" in headline.spans[1].text


def test_the_lines_and_the_columns(records: SampleRecords) -> None:
    figures = metrics(records, CLASSES)
    said = report.lines(figures, "val")
    assert said[0] == "AP 50.0%, AP50 50.0%, AP75 50.0% on 2 val images with 3 boxes"
    assert said[1].endswith("loss 0.5000")
    assert len(said) == 3 + len(CLASSES)
    assert report.columns(records, [0.5] * 3) == {
        "boxes": [3, 0], "found": [1, 0], "missed": [2, 0], "wrong": [1, 0], "loss": [0.25, 0.75],
    }  # fmt: skip
    assert report.columns(records, [0.95] * 3)["missed"] == [3, 0]
    chart = report.ap_chart([{"epoch": 1, "ap": 0.25, "ap50": None}, {"epoch": 2, "ap": 0.5, "ap50": 0.75}], "val")
    assert [list(curve.points) for curve in chart.curves] == [[(1, 25), (2, 50)], [(1, None), (2, 75)]]


def test_many_boxes_have_labels_where_they_are_wrong(records: SampleRecords) -> None:
    many = {name: values[:1] for name, values in records.items()}
    count = MOST_LABELS + 1
    boxes = np.repeat(many["boxes"][0][:1], count, 0)
    many |= {"boxes": ragged([boxes]), "scores": ragged([np.linspace(0.9, 0.8, count)]),
             "labels": ragged([np.zeros(count, int)])}  # fmt: skip
    worst: Gallery = of_kind(report.sections(many, metrics(many, CLASSES), IDS[:1], CLASSES), "Images")
    labels = [(each.color == WRONG, bool(each.label)) for each in worst.items[0].outlines or ()]
    assert labels == [(True, True)] * (count - 1) + [(False, False)]


def decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def test_the_page_shows_images_with_boxes(records: SampleRecords) -> None:
    figures = metrics(records, CLASSES)
    image = Image.new("RGB", (200, 100), (90, 90, 90))
    reader: Any = SimpleNamespace(thumbnail=lambda dataset, index: image)
    page = render(
        "report.html", title="t", sections=report.sections(records, figures, IDS, CLASSES),
        svg=lambda chart: inline_svg(line_chart(chart)), thumbnail=partial(thumbnail, reader, reader),
        name=lambda number: f"{number}.jpg",
    ).decode()  # fmt: skip
    assert page.count('class="gallery large"') == 3
    assert page.count("data:image/jpeg") == 4 + 1 + 2
    assert "<ant>" not in page
    assert "&lt;ant&gt;" in page


def test_a_thumbnail_shows_a_part_with_its_boxes() -> None:
    image = Image.new("RGB", (2000, 1000), (90, 90, 90))
    reader: Any = SimpleNamespace(thumbnail=lambda dataset, index: image)
    whole = GalleryItem(0, (), outlines=(Outline((0.25, 0.5, 0.75, 1), (255, 0, 0)),))
    shown: Any = np.asarray(decoded(thumbnail(reader, reader, whole).url)).astype(int)
    assert shown.shape == (LARGE // 2, LARGE, 3)
    red = (shown[..., 0] > 180) & (shown[..., 1] < 90)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert (rows[0], columns[0], columns[-1]) == pytest.approx((160, 160, 479), abs=2)

    part = GalleryItem(0, (), outlines=(*(whole.outlines or ()), Outline((0, 0, 0.1, 0.1), (0, 0, 255))),
                       part=(0.2, 0.45, 0.3, 0.55))  # fmt: skip
    shown = np.asarray(decoded(thumbnail(reader, reader, part).url)).astype(int)
    assert shown.shape == (LEAST // 2, LEAST, 3)
    red = (shown[..., 0] > 180) & (shown[..., 1] < 90)
    assert np.flatnonzero(red[-1])[0] == pytest.approx(LEAST // 2, abs=2)
    assert not (shown[..., 2] > 180).any()  # what lies elsewhere is not drawn


def test_an_image_that_cannot_be_read_is_left_out() -> None:
    def fail(dataset: Any, index: int) -> Image.Image:
        raise DataError("damaged")

    reader: Any = SimpleNamespace(thumbnail=fail)
    assert thumbnail(reader, reader, GalleryItem(0, (), outlines=())).url == ""
