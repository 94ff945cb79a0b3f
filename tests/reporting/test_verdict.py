"""The first paragraph of a report: each of its rules on a run that was made to show it."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

import resnets
from resnets.commands.training_run import Run
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.metrics import metrics
from resnets.tasks.classification.verdict import verdict

SHORT = ("model.depths=[1,1]", "model.widths=[16,32]", "model.stem_width=16", "batch=32")
Digits = tuple[NDArray[np.uint8], NDArray[np.int64]]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """1,797 images of 8 px, in random order."""
    found = sklearn.datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(found.images))
    return (found.images * 15.9375).astype(np.uint8)[order], found.target[order]


def trained(train: Digits, val: Digits, out: Path, **settings: Any) -> Run:
    data = {"train": train, "val": val}
    return resnets.train("digits", *SHORT, data=data, device="cpu", seed=0, out=out / "run", **{"epochs": 8} | settings)


def paragraph(run: Run) -> str:
    return paragraph_of(run.report)


def paragraph_of(path: Path) -> str:
    """The verdict of a report, below its headline and the score on test."""
    page = path.read_text()
    page = re.sub(r"<p>(?:(?!</p>).)*scored once, when training had ended.*?</p>", "", page, flags=re.DOTALL)
    found = re.search(r'class="headline">.*?</p>\s*<p>(.*?)</p>', page, re.DOTALL)
    assert found is not None
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", found[1])).split())


@pytest.mark.slow
def test_nothing_speaks_against_a_good_model(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    run = trained((images[:1200], labels[:1200]), (images[1200:], labels[1200:]), tmp_path, epochs=20)
    assert paragraph(run).startswith("Nothing speaks against this model. Its accuracy is known to")


def test_too_few_samples_say_little(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    said = paragraph(trained((images[:600], labels[:600]), (images[600:630], labels[600:630]), tmp_path))
    assert said.startswith("30 samples are too few to tell. The accuracy may be anywhere from")


def test_a_leak_is_found_by_the_files(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    for number in range(500):
        folder = tmp_path / "data" / ("val" if number >= 300 else "train") / str(labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(folder / f"{number}.png")
    for path in sorted((tmp_path / "data" / "train" / "3").iterdir())[:7]:
        shutil.copy(path, tmp_path / "data" / "val" / "3" / f"copy of {path.name}")
    run = resnets.train("digits", *SHORT, data=tmp_path / "data", epochs=2, device="cpu", out=tmp_path / "run")
    said = paragraph(run)
    assert said.startswith("These figures cannot be trusted. 7 of the 207 samples are among the training samples")
    log = (run.folder / "log.jsonl").read_text()
    assert '"leaked_samples": 7' in log
    assert "7 of the 207 samples of val have the files of training samples" in log
    problems = resnets.check(tmp_path / "data", only="split_leak").problems
    assert len(problems) == 7


def test_rare_classes_are_named(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    rare = np.flatnonzero(labels >= 8)
    kept = np.sort(np.concatenate([np.flatnonzero(labels < 8), rare[:24]]))
    images, labels = images[kept], labels[kept]
    order = np.argsort(labels < 8, kind="stable")  # the rare ones first, of which half are for val
    train, val = np.concatenate([order[:8], order[24:700]]), np.concatenate([order[8:24], order[700:]])
    said = paragraph(trained((images[train], labels[train]), (images[val], labels[val]), tmp_path, epochs=3))
    assert said.startswith("To be used with care. Classes differ in their number, and rare ones are recognised worse")
    assert "--balance sampling, and collect more of 8, 9" in said or "collect more of 9, 8" in said


def trained_on_noise(digits: Digits, folder: Path, **options: Any) -> Run:
    """A run long enough to learn by heart the labels of which two fifths are wrong."""
    images, labels = digits
    wrong = np.random.default_rng(0).random(200) < 0.4
    noisy = np.where(wrong, (labels[:200] + 3) % 10, labels[:200])
    settings = ("label_smoothing=0", "augmentations={}", "optimizer.weight_decay=0")
    data = {"train": (images[:200], noisy), "val": (images[200:], labels[200:])}
    return resnets.train(
        "digits", *SHORT, *settings, data=data, epochs=60, device="cpu", seed=0, out=folder / "run", **options
    )


@pytest.mark.slow
def test_overfitting_is_seen_in_the_losses(digits: Digits, tmp_path: Path) -> None:
    assert "it overfits" in paragraph(trained_on_noise(digits, tmp_path))


def test_a_model_that_was_chosen_before_the_loss_rose_does_not_overfit(digits: Digits, tmp_path: Path) -> None:
    said = paragraph(trained_on_noise(digits, tmp_path, monitor="loss"))
    assert "the loss on new samples rises" not in said


def records_of(labels: NDArray[np.int64], predicted: NDArray[np.int64], confidence: float = 0.95) -> SampleRecords:
    right = labels == predicted
    return {
        "label": labels, "predicted": predicted, "confidence": np.full(len(labels), confidence),
        "rank": (~right).astype(np.int64), "loss": np.where(right, 0.05, 3.0),
    }  # fmt: skip


def said_of(records: SampleRecords, names: tuple[str, ...] = ("cat", "dog", "cow", "pig"), **start: Any) -> str:
    history = [{"event": "start", "train_samples": 1000, **start}] if start else []
    found = verdict(records, metrics(records, names), names, history)
    return "" if found is None else "".join(span.text for span in found.spans)


def test_a_confusing_pair_is_named() -> None:
    labels = np.tile(np.arange(4), 100)
    predicted = labels.copy()
    predicted[np.flatnonzero(labels == 2)[:12]] = 3
    predicted[np.flatnonzero(labels == 3)[:5]] = 2
    predicted[np.flatnonzero(labels == 0)[:3]] = 1
    said = said_of(records_of(labels, predicted))
    assert said.startswith("To be used with care. 17 of 20 errors are between cow and pig")
    predicted[:150] = (labels[:150] + np.arange(150) % 3 + 1) % 4
    assert "are between" not in said_of(records_of(labels, predicted, 0.6))


def test_confidence_that_is_off_is_said() -> None:
    labels = np.tile(np.arange(4), 100)
    said = said_of(records_of(labels, labels, 0.6))
    assert "off by 40 points in the mean. Train with --val-share 0.2" in said
    assert said_of(records_of(labels, labels, 0.97)).startswith("Nothing speaks against")


def test_few_training_samples_are_said_where_they_limit() -> None:
    labels = np.tile(np.arange(4), 100)
    predicted = np.where(np.arange(400) % 7 == 0, (labels + 1 + np.arange(400) // 4 % 3) % 4, labels)
    assert "25 training samples a class are few" in said_of(records_of(labels, predicted, 0.86), train_samples=100)
    assert "are few" not in said_of(records_of(labels, labels), train_samples=100)


def test_nothing_is_said_of_no_samples() -> None:
    none = np.zeros(0, np.int64)
    assert said_of(records_of(none, none)) == ""


def files(digits: Digits, root: Path, *splits: tuple[str, int, int]) -> Path:
    """Digits in folders of classes; of each split the first and the last number."""
    images, labels = digits
    for split, first, last in splits:
        for number in range(first, last):
            folder = root / split / str(labels[number])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(folder / f"{number}.png")
    return root


def test_evaluation_knows_what_was_trained_on(digits: Digits, tmp_path: Path) -> None:
    root = files(digits, tmp_path / "data", ("", 0, 400))
    run = resnets.train("digits", *SHORT, data=root, epochs=2, val_share=0.2, device="cpu", out=tmp_path / "run")
    for name, asked in (("split", {"split": "train"}), ("folder", {"data": root, "split": "all"})):
        scores = resnets.evaluate(run, **asked, device="cpu", out=tmp_path / name)
        said = paragraph_of(tmp_path / name / "report.html")
        assert said.startswith("These figures cannot be trusted."), name
        assert any(note in said for note in scores.notes)
    resnets.evaluate(run, device="cpu", out=tmp_path / "val")
    assert "cannot be trusted" not in paragraph_of(tmp_path / "val" / "report.html")
    assert "Curves" in (tmp_path / "val" / "report.html").read_text()
    others = files(digits, tmp_path / "others", ("", 400, 800))
    resnets.evaluate(run, data=others, device="cpu", out=tmp_path / "other")
    assert "cannot be trusted" not in (said := paragraph_of(tmp_path / "other" / "report.html"))
    assert "overfit" not in said
    assert "Curves" not in (tmp_path / "other" / "report.html").read_text()


def test_a_leak_into_test_is_found_beside_val(digits: Digits, tmp_path: Path) -> None:
    root = files(digits, tmp_path / "data", ("train", 0, 300), ("val", 300, 400), ("test", 400, 500))
    for path in sorted((root / "train" / "3").iterdir())[:4]:
        shutil.copy(path, root / "test" / "3" / f"copy of {path.name}")
    run = resnets.train("digits", *SHORT, data=root, epochs=2, device="cpu", out=tmp_path / "run")
    page = run.report.read_text()
    assert "4 of the 104 samples of test have the files of training samples" in page
    assert "104 test samples right" in " ".join(page.split())
    assert "cannot be trusted" not in paragraph(run)
    assert '"leaked": {"test": 4}' in (run.folder / "log.jsonl").read_text()
    resnets.evaluate(run, device="cpu", out=tmp_path / "test")
    said = paragraph_of(tmp_path / "test" / "report.html")
    assert said.startswith("These figures cannot be trusted. 4 of the 104 samples are among the training samples")


def test_files_that_are_alike_at_their_ends_alone_are_no_leak(tmp_path: Path) -> None:
    """Scans with black borders, of one size and not compressed."""
    g = np.random.default_rng(0)
    for number in range(24):
        pixels = np.zeros((200, 64), np.uint8)
        pixels[80:120] = g.integers(0, 255, (40, 64)) // (1 + number % 2)
        folder = tmp_path / "data" / ("val" if number >= 16 else "train") / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.pgm")
    shutil.copy(tmp_path / "data" / "train" / "0" / "0.pgm", tmp_path / "data" / "val" / "0" / "copy.pgm")
    run = resnets.train("digits", *SHORT, data=tmp_path / "data", epochs=1, device="cpu", out=tmp_path / "run")
    assert '"leaked_samples": 1' in (run.folder / "log.jsonl").read_text()
