"""What a report says of samples: their size, brightness, group and place, from files, tables, shards and arrays."""

from __future__ import annotations

import csv
import io
import itertools
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.evaluation.scoring import Scores
from resnets.reporting import sample_facts as module
from resnets.tasks.classification.interval import accuracy_interval
from tests.reporting.test_report import Page

CLASSES = ("dots", "stripes")
SMALL = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "preprocessing.resize=16",
         "preprocessing.crop=16", "batch=16", "optimizer.lr=0.05")  # fmt: skip
COUNT = 150


@dataclass(frozen=True)
class Photo:
    path: Path
    label: str
    patient: str


def image_of(label: int, side: int, light: float, seed: int) -> Image.Image:
    """Stripes or dots in noise, the clearer the larger the image is."""
    g, x = np.random.default_rng(seed), np.arange(side) * (20 / side)
    wave = np.sin(x)[:, None] * (np.sin(x)[None] if label == 0 else np.ones((1, side)))
    clear = 0.9 if side > 40 else 0.3
    pixels = (clear * (wave / 2 + 0.5) + (1 - clear) * g.random((side, side)))[..., None] * [1.0, 0.9, 0.6]
    return Image.fromarray((255 * light * pixels).astype(np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """Files of many sizes and brightnesses, of 25 patients."""
    root, g, found = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for n in range(COUNT):
        label, side, patient = n % 2, int(g.integers(20, 90)), f"patient {n // 6:02}"
        path = root / CLASSES[label] / f"p{n // 6:02}-{n:03}.png"
        path.parent.mkdir(exist_ok=True)
        image_of(label, side, g.uniform(0.2, 1), n).save(path)
        found.append(Photo(path, CLASSES[label], patient))
    return found


@pytest.fixture(scope="module")
def table(photos: list[Photo]) -> Path:
    root = photos[0].path.parent.parent
    with open(root / "photos.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group"))
        writer.writerows((photo.path.relative_to(root), photo.label, photo.patient) for photo in photos)
    return root / "photos.csv"


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("run") / "r"
    return resnets.train("paper/cifar", *SMALL, data=table, val_share=0.5, epochs=3, device="cpu", out=out)


def answers(folder: Path) -> dict[str, bool]:
    """Whether each image is right, by the name of its file, of predictions.csv."""
    with open(folder / "predictions.csv", newline="") as file:
        return {Path(row["image"]).name: row["label"] == row["predicted"] for row in csv.DictReader(file)}


def expected(photos: list[Photo], right: dict[str, bool], *, grouped: bool) -> list[list[str]]:
    """The table by size and by brightness, of the files as Pillow reads them."""
    shown = [photo for photo in photos if photo.path.name in right]
    images = [Image.open(photo.path) for photo in shown]
    hits = np.array([right[photo.path.name] for photo in shown])
    patients = np.unique([photo.patient for photo in shown], return_inverse=True)[1] if grouped else None
    rows = []
    for name, unit, values in (
        ("size", " px", np.array([(each.width * each.height) ** 0.5 for each in images])),
        ("brightness", "%", np.array([100 * np.asarray(each.convert("L")).mean() / 255 for each in images])),
    ):
        edges = [-np.inf, *np.quantile(values, [1 / 3, 2 / 3]), np.inf]
        for low, high in itertools.pairwise(edges):
            own = (values > low) & (values <= high)
            bounds = accuracy_interval(hits[own], None if patients is None else patients[own])
            span = f"{name} {values[own].min():.0f} to {values[own].max():.0f}{unit}"
            interval = f"{100 * bounds[0]:.1f}–{bounds[1]:.1%}"
            rows.append([span, f"{hits[own].mean():.1%}", interval, str(own.sum())])
    return rows


def test_a_run_says_how_it_does_by_size_brightness_and_group(photos: list[Photo], run: Run) -> None:
    page, right = Page(run.report), answers(run.folder)
    assert len(right) == run.metrics["samples"]
    assert page.table("images") == expected(photos, right, grouped=True)
    patient = {photo.path.name: photo.patient for photo in photos}
    names = sorted(right)
    groups = np.unique([patient[name] for name in names], return_inverse=True)[1]
    low, high = accuracy_interval(np.array([right[name] for name in names]), groups)
    count = len(np.unique(groups))
    assert f"(95% interval {low:.1%} to {high:.1%}, clustered by {count} groups)" in page.text
    assert "Map of the samples" in page.text
    assert not [row for row in page.tables if row[0][0] == "group"]  # of six samples each, which say nothing


def test_groups_are_those_of_group_by_where_the_run_has_it(table: Path, tmp_path: Path, capsys: Any) -> None:
    data, out = table.parent, tmp_path / "r"
    argv = ["train", "paper/cifar", *SMALL, "--data", str(data), "--format", "folders", "--val-share", "0.5",
            "--group-by", "p[0-9](?=[0-9]-)", "--epochs", "1", "--device", "cpu"]  # fmt: skip
    assert main([*argv, "--out", str(out)]) == 0
    page, right = Page(out / "report.html"), answers(out)
    groups = {name[:2] for name in right}
    assert f"clustered by {len(groups)} group" in page.text
    if len(groups) > 1:
        assert {row[0] for row in page.table("group")} == groups
    assert main(["evaluate", str(out), "--out", str(tmp_path / "e"), "--device", "cpu"]) == 0
    assert f"clustered by {len(groups)} group" in Page(tmp_path / "e" / "report.html").text
    other = tmp_path / "other" / "dots"
    other.mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(other / "x.png")
    Image.new("RGB", (20, 20)).save(other / "y.png")
    argv = ["evaluate", str(out), "--data", str(other.parent), "--out", str(tmp_path / "o"), "--device", "cpu"]
    assert main(argv) == 0  # its names have no such groups
    assert "clustered" not in Page(tmp_path / "o" / "report.html").text


class Pairs:
    """A map-style dataset of images of many sizes."""

    def __init__(self, photos: list[Photo]) -> None:
        self.photos = photos
        self.classes = list(CLASSES)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        photo = self.photos[index]
        return Image.open(photo.path).convert("RGB"), CLASSES.index(photo.label)


def shard(photos: list[Photo], path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for photo in photos:
            for ending, content in (("png", photo.path.read_bytes()), ("cls", photo.label.encode())):
                member = tarfile.TarInfo(f"{photo.path.stem}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["folders", "csv", "webdataset", "memory"])
def test_it_is_the_same_from_every_kind_of_data(
    kind: str, photos: list[Photo], table: Path, run: Run, tmp_path: Path
) -> None:
    root = table.parent
    data: Any = {"folders": root, "csv": table, "memory": Pairs(photos)}.get(kind)
    if kind == "webdataset":
        data = shard(photos, tmp_path / "photos.tar")
    forced: dict[str, Any] = {"format": kind} if kind in ("folders", "csv") else {}
    # A part of the data has a val of the run: these files were not given as the run's, so that all are scored.
    scores = resnets.evaluate(run, data=data, split="all", device="cpu", out=tmp_path / "e", **forced)
    assert len(scores.ids) == COUNT
    right = dict(zip([photo.path.name for photo in photos], hits(scores), strict=True)) if kind == "memory" else None
    if right is None:
        by_stem = {Path(name).stem.split(".")[0]: hit for name, hit in answers(tmp_path / "e").items()}
        right = {photo.path.name: by_stem[photo.path.stem] for photo in photos}
    page = Page(tmp_path / "e" / "report.html")
    assert page.table("images") == expected(photos, right, grouped=kind == "csv")
    assert "Map of the samples" in page.text


def hits(scores: Scores) -> list[bool]:
    found: list[bool] = (scores.records["label"] == scores.records["predicted"]).tolist()
    return found


def test_a_large_split_is_bounded_in_number_and_in_time(
    photos: list[Photo], table: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 90)
    resnets.evaluate(run, data=table, split="all", device="cpu", out=tmp_path / "few")
    page = Page(tmp_path / "few" / "report.html")
    assert page.text.count("90 samples, drawn at random.") == 2
    assert sum(int(row[3]) for row in page.table("images")) == 2 * 90
    again = resnets.evaluate(run, data=table, split="all", device="cpu", out=tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_bytes() == (tmp_path / "few" / "report.html").read_bytes()
    found = module.sample_facts(again, _dataset(table), resnets.load(run).card, seconds=0.0)
    assert found is not None
    assert len(found.rows) == 32  # the first few
    assert found.features is None
    assert found.groups is not None
    assert len(found.groups.of) == COUNT


def _dataset(table: Path) -> Any:
    from resnets.modalities.catalog import open_dataset

    return open_dataset(str(table), None).splits["all"]


def test_an_image_that_is_gone_since_is_left_out(photos: list[Photo], run: Run, tmp_path: Path) -> None:
    for photo in photos[:40]:
        (tmp_path / "data" / photo.label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / photo.label / photo.path.name).write_bytes(photo.path.read_bytes())
    from resnets.modalities.catalog import open_dataset

    scores = resnets.evaluate(run, data=tmp_path / "data", device="cpu")
    dataset = open_dataset(str(tmp_path / "data"), None).splits["all"]
    Path(dataset.name(7)).unlink()
    model = resnets.load(run)
    found = module.sample_facts(scores, dataset, model.card, model.predictor())
    assert found is not None
    assert found.rows.tolist() == [row for row in range(40) if row != 7]
    assert found.features is not None
    assert found.features.shape == (39, 16)


def test_several_networks_have_no_map_and_sounds_no_size(run: Run, table: Path, tmp_path: Path) -> None:
    resnets.evaluate(run, run, data=table, split="all", device="cpu", out=tmp_path / "two")
    page = Page(tmp_path / "two" / "report.html")
    assert "Map of the samples" not in page.text
    assert "By size and brightness" in page.text
    resnets.evaluate(run, data=table, split="all", device="cpu", runtime="folded", out=tmp_path / "folded")
    assert "Map of the samples" not in Page(tmp_path / "folded" / "report.html").text


def test_the_map_is_a_small_svg_with_a_legend_that_is_text(run: Run) -> None:
    page = run.report.read_text()
    (svg,) = re.findall(r'<svg[^>]*aria-label="Map of the samples: dots, stripes".*?</svg>', page, re.DOTALL)
    assert len(svg) < 60_000
    assert "currentColor" in svg  # the rings of the errors
    assert not re.search(r"https?:|url\(", svg)
    legend = re.findall(r"<li><i class=\"swatch[^>]*></i>([^<]*)</li>", page)
    assert legend == ["dots", "stripes", "taken for another class"]
