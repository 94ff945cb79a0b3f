"""The report: one file that stands alone, escapes names, and shows the right figures and images."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import jinja2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest  # type: ignore[import-untyped]
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from resnets.artifacts.model_file import ModelCard
from resnets.evaluation.scoring import Scores
from resnets.modalities.batch import Batch
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.spec import Spec
from resnets.reporting.heat_map import heat_map
from resnets.reporting.names import shortened
from resnets.reporting.pages import TEMPLATES, inline_svg, render
from resnets.reporting.report import write_predictions, write_report
from resnets.tasks.classification.confusions import MATRIX_CLASSES
from resnets.tasks.classification.report import WORST_ERRORS
from resnets.tasks.classification.task import Classification
from resnets.tasks.classification.wilson import wilson_interval
from resnets.tasks.sections import HeatMap, Items, Matrix, Section, Table

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser finds in a page: elements, texts and tables."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def table(self, first: str) -> list[list[str]]:
        """The rows under the header row that begins with `first`."""
        return next(table[1:] for table in self.tables if table[0][0] == first)

    def titles(self) -> list[str]:
        """The whole of names that are shown shortened."""
        return [value for _, name, value in self.attributes if name == "title"]

    def images(self) -> list[Image.Image]:
        sources = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        return [Image.open(io.BytesIO(base64.b64decode(dataset.partition(",")[2]))) for dataset in sources]


def result(
    logits: torch.Tensor, labels: Sequence[int], names: tuple[str, ...], *, size: int = 8, **changes: Any
) -> tuple[Scores, InMemoryDataset, ModelCard]:
    task, truth = Classification(), torch.tensor(labels)
    records = {name: value.numpy() for name, value in task.evaluate_batch(logits, Batch({"labels": truth})).items()}
    scores = Scores(np.arange(len(labels)), records, task.metrics(records, names), {})
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3, size, size), np.uint8)
    spec = Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4, classes=len(names))
    card = ModelCard(spec=spec, classes=names, preprocessing=Preprocessing(resize=8, crop=8))
    return replace(scores, **changes), InMemoryDataset(names, truth.numpy(), pixels), card


def write(
    folder: Path,
    found: tuple[Scores, InMemoryDataset, ModelCard],
    *,
    title: str = "test of photos",
    history: Sequence[dict[str, Any]] = (),
) -> Page:
    scores, dataset, card = found
    write_report(
        folder / "report.html", title=title, scores=scores, dataset=dataset, card=card, history=history,
        predictions="predictions.csv",
    )  # fmt: skip
    return Page(folder / "report.html")


def random_result(classes: int, samples: int = 600) -> tuple[Scores, InMemoryDataset, ModelCard]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (samples,), generator=generator)
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 2
    return result(logits, labels.tolist(), tuple(f"class {i}" for i in range(classes)))


HISTORY = (
    {"event": "start", "epochs": 2.0, "steps": 1234},
    *({"event": "step", "epoch": e, "loss": 2.0 / e} for e in (1, 2)),
    *({"event": "evaluation", "epoch": e, "loss": float("nan"), "accuracy": 0.4 * e} for e in (1, 2)),
    {"event": "end", "seconds": 3.0},
)


@pytest.mark.parametrize("classes", [2, 3, 200])
@pytest.mark.parametrize("history", [(), HISTORY], ids=["evaluated", "trained"])
def test_the_page_stands_alone(classes: int, history: Sequence[dict[str, Any]], tmp_path: Path) -> None:
    page = write(tmp_path, random_result(classes), history=history)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert [value for tag, name, value in page.attributes if tag == "a" and name == "href"] == ["predictions.csv"]
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src" or re.match(r"data:image/(png|jpeg);base64,", value), f"{tag} loads {value[:80]}"
    text = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import", text)
    # Of confidence and of training; the confusion matrix of many classes.
    assert page.tags.count("svg") == 2 + 2 * bool(history) + (classes > MATRIX_CLASSES)
    assert page.tags.count("image") == (classes > MATRIX_CLASSES)
    hrefs = [value for tag, name, value in page.attributes if tag != "a" and name == "href"]
    assert all(value.startswith("data:image/png;base64,") for value in hrefs)
    assert ("1,234 steps" in page.text) == bool(history)


@pytest.mark.parametrize("classes", [3, 30])
def test_the_confusion_matrix_and_the_classes_are_scikit_learns(classes: int, tmp_path: Path) -> None:
    scores, dataset, card = random_result(classes)
    page = write(tmp_path, (scores, dataset, card))
    truth, predicted = scores.records["label"], scores.records["predicted"]
    shown = [[int(cell or 0) for cell in row[1:]] for row in page.table("")]
    assert shown == confusion_matrix(truth, predicted).tolist()
    assert [row[0] for row in page.table("")] == list(card.classes)
    columns = precision_recall_fscore_support(truth, predicted)
    expected = [
        [name, f"{p:.1%}", f"{r:.1%}", f"{f:.1%}", str(n)]
        for name, p, r, f, n in zip(card.classes, *columns, strict=True)
    ]
    assert page.table("class") == expected


def test_the_headline_says_how_many_were_right_and_how_sure_that_is(tmp_path: Path) -> None:
    logits = torch.eye(2)[[0] * 90 + [1] * 10]
    page = write(tmp_path, result(logits, [0] * 100, ("a", "b")))
    assert "90.00% of 100 test samples right (95% interval 82.6% to 94.5%)" in page.text
    assert "top-5" not in page.text
    assert "top-5" in write(tmp_path, random_result(6)).text


def test_the_worst_errors_stand_first_with_their_own_images(tmp_path: Path) -> None:
    sure = torch.tensor([3.0, 0.1, 5.0, 1.0, -2.0])  # how strongly "b" is wrongly preferred; the last is right
    found = result(torch.stack([torch.zeros(5), sure], 1), [0] * 5, ("a", "b"))
    page = write(tmp_path, found)
    assert "4 errors, the worst first" in page.text
    assert re.findall(r"image (\d)", page.text) == ["2", "0", "3", "1"]
    assert "a taken for b (99%)\nimage 2" in page.text
    for image, index in zip(page.images(), (2, 0, 3, 1), strict=True):
        np.testing.assert_array_equal(np.array(image).transpose(2, 0, 1), found[1].pixels[index])


def test_only_so_many_errors_are_shown_and_large_images_shrink(tmp_path: Path) -> None:
    found = result(torch.eye(2)[[1] * 40], [0] * 40, ("a", "b"), size=500)
    page = write(tmp_path, found)
    assert "40 errors, the worst first" in page.text
    assert "The worst 24 are shown." in page.text
    assert len(page.images()) == WORST_ERRORS
    assert all(max(image.size) <= 192 for image in page.images())
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_a_model_without_errors_has_a_page(tmp_path: Path) -> None:
    page = write(tmp_path, result(torch.eye(2) * 9, [0, 1], ("a", "b")))
    assert re.search(r"Errors\s*None\.", page.text)
    assert "100.00% of 2 test samples right" in page.text
    assert "img" not in page.tags


def test_a_model_that_gives_no_numbers_has_a_page_and_no_hits(tmp_path: Path) -> None:
    page = write(tmp_path, result(torch.full((3, 2), torch.nan), [0, 0, 1], ("a", "b")))
    assert "0.00% of 3 test samples right" in page.text
    assert "3 errors, the worst first" in page.text
    assert [row[2] for row in page.table("class")] == ["0.0%", "0.0%"]


EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "&lt;b&gt; 'quoted'")


@pytest.mark.parametrize("classes", [3, 40])
def test_names_are_shown_as_they_are_and_never_run(classes: int, tmp_path: Path) -> None:
    names = EVIL + tuple(f"c{i}" for i in range(classes - 3))
    logits = torch.nn.functional.one_hot(torch.tensor([1, 2, 0, 0]), classes).float()
    scores, dataset, card = result(logits, [0, 1, 2, 0], names, excluded={9: f"{EVIL[0]}.png is damaged"})
    dataset = replace(dataset, names=tuple(f"{name}.jpg" for name in (*EVIL, "d")))
    card = replace(card, recipe={"name": EVIL[0], "data": EVIL[1], "seed": 1}, environment={"hardware": EVIL[0]})
    page = write(tmp_path, (scores, dataset, card), title=EVIL[0])
    assert "script" not in page.tags
    assert page.tags.count("img") == 3  # of three errors, whose labels may be wrong: they are marked, not shown again
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for name in EVIL:
        assert f"{name}.jpg" in page.titles()
        assert name in [row[0] for row in page.table("class")]


def test_unreadable_images_are_listed_with_their_reasons(tmp_path: Path) -> None:
    scores, dataset, card = random_result(2)
    excluded = {i: f"photos/{i}.jpg is damaged: cut." for i in range(1200)}
    page = write(tmp_path, (replace(scores, excluded=excluded), dataset, card))
    assert "1,200 images could not be read, and no metric counts them" in page.text
    assert "The first 50 are listed." in page.text
    assert "photos/0.jpg is damaged: cut." in page.text
    assert page.tags.count("li") == 50


def test_file_names_that_are_not_utf8_make_a_page_that_is(tmp_path: Path) -> None:
    scores, dataset, card = result(torch.eye(2), [1, 1], ("a", "b"))
    dataset = replace(dataset, names=(os.fsdecode(b"gr\xf6\xdfe.jpg"), "b.jpg"))
    assert r"gr\udcf6\udcdfe.jpg" in write(tmp_path, (scores, dataset, card)).text


def test_the_csv_of_predictions_names_images_twice_and_escapes_them(tmp_path: Path) -> None:
    scores, dataset, card = result(torch.eye(2), [1, 1], ("<b>", "=a"))
    dataset = replace(dataset, names=(os.fsdecode(b"gr\xf6\xdfe.jpg"), "b.jpg"))
    write_predictions(tmp_path / "p.csv", scores, dataset, card)
    heading, *rows = [line.split(",") for line in (tmp_path / "p.csv").read_text("utf-8").splitlines()]
    own = ["image", "label", "predicted", "confidence", "loss", "suspicion"]
    assert heading == [*own, "picture"]  # the old name beside it
    assert [row[0] for row in rows] == [row[-1] for row in rows] == [r"gr\udcf6\udcdfe.jpg", "b.jpg"]
    assert [row[1:3] for row in rows] == [["'=a", "<b>"], ["'=a", "'=a"]]


def test_every_section_has_a_template_and_every_text_in_it_is_escaped(tmp_path: Path) -> None:
    names = {path.stem for path in (TEMPLATES / "sections").iterdir()} - {"macros"}
    assert names == {section.__name__.lower() for section in get_args(Section)}
    evil = EVIL[0]
    sections = [
        Matrix(evil, (evil, evil), ((1, 2), (3, 4)), evil),
        HeatMap(evil, (evil, evil), np.array([[1, 2], [3, 4]]), note=evil),
        Table(evil, (evil,), ((evil,),), evil),
        Items(evil, (evil,), evil),
    ]
    found = render("report.html", title=evil, sections=sections, heat_map=lambda each: inline_svg(heat_map(each)))
    (tmp_path / "page.html").write_bytes(found)
    page = Page(tmp_path / "page.html")
    assert page.text.count(evil) == 1 + 2 + 2 + 4 + 3  # title of the page, matrix, heat map, table, items
    assert page.text.count(shortened(evil)) == 4 + 4  # matrix, heat map
    assert page.titles() == [evil] * 4
    assert "script" not in page.tags


def test_templates_escape_in_every_file_and_fail_at_a_variable_that_is_missing() -> None:
    for path in TEMPLATES.rglob("*.*"):
        assert not re.search(r"\|\s*safe|autoescape\s+false|https?:", path.read_text("utf-8")), path
    with pytest.raises(jinja2.UndefinedError):
        render("report.html", title="t")
    assert b"<svg></svg>" in render(
        "experiment.html", title="t", question="", svg=inline_svg("<svg></svg>"), heading=[], rows=[], sentences=[],
        command="", about=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "samples"), [(0, 1), (1, 1), (0, 360), (360, 360), (351, 360), (5000, 10000), (1, 50000)]
)
def test_the_interval_is_wilsons(hits: int, samples: int) -> None:
    expected = binomtest(hits, samples).proportion_ci(method="wilson")
    assert wilson_interval(hits, samples) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_the_interval_of_no_samples_is_a_shrug() -> None:
    low, high = wilson_interval(0, 0)
    assert low == 0
    assert high > 0.5
