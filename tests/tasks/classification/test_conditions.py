"""Accuracy by size, by brightness and by group, and the map of the samples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from resnets.data.groups import Groups
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.conditions import by_group, by_image
from resnets.tasks.classification.data_map import NAMED, data_map, principal_components
from resnets.tasks.classification.interval import accuracy_interval
from resnets.tasks.samples import SampleFacts


def records_of(label: NDArray[np.int64], right: NDArray[np.bool_]) -> SampleRecords:
    return {"label": label, "predicted": np.where(right, label, (label + 1) % (label.max() + 2))}


def facts_of(pixels: NDArray[np.int64], brightness: NDArray[np.float64], **more: object) -> SampleFacts:
    return SampleFacts(np.arange(len(pixels)), pixels, brightness, **more)  # type: ignore[arg-type]


def test_small_images_that_are_taken_for_others_are_seen() -> None:
    side = np.repeat([20, 100, 300], 40)
    right = (side > 20) | (np.arange(120) % 4 == 0)
    table = by_image(records_of(np.zeros(120, np.int64), right), facts_of(side**2, np.full(120, 0.5)))
    assert table is not None
    assert table.title == "By size"
    assert "brightness" not in table.note
    assert [row[0] for row in table.rows] == ["size 20 px", "size 100 px", "size 300 px"]
    assert [row[1] for row in table.rows] == ["25.0%", "100.0%", "100.0%"]
    low, high = accuracy_interval(right[:40])
    assert table.rows[0][2:] == (f"{100 * low:.1f}–{high:.1%}", "40")


def test_parts_are_thirds_and_keep_groups_together_in_their_intervals() -> None:
    g = np.random.default_rng(0)
    brightness, right, of = g.random(300), g.random(300) < 0.7, g.integers(0, 20, 300)
    groups = Groups(tuple(b"%02d" % n for n in range(20)), of)
    facts = facts_of(np.full(300, 64), brightness, groups=groups)
    table = by_image(records_of(np.zeros(300, np.int64), right), facts)
    assert table is not None
    assert table.title == "By brightness"
    for place, row in enumerate(table.rows):
        own = np.argsort(brightness)[100 * place : 100 * (place + 1)]
        low, high = accuracy_interval(right[own], of[own])
        least, most = (round(100 * each) for each in (brightness[own].min(), brightness[own].max()))
        assert row == (
            f"brightness {least} to {most}%", f"{right[own].mean():.1%}", f"{100 * low:.1f}–{high:.1%}", "100"
        )  # fmt: skip


def test_what_does_not_differ_or_is_too_little_has_no_table() -> None:
    label, right = np.zeros(40, np.int64), np.ones(40, bool)
    assert by_image(records_of(label, right), facts_of(np.full(40, 64), np.full(40, 0.5))) is None
    side = np.r_[np.full(36, 10), np.full(4, 500)]  # four are too few
    assert by_image(records_of(label, right), facts_of(side**2, np.full(40, 0.5))) is None
    assert by_image(records_of(label, right), SampleFacts(np.arange(40))) is None
    assert by_group(records_of(label, right), SampleFacts(np.arange(40))) is None
    assert by_image(records_of(label, right), SampleFacts(np.arange(0), np.zeros(0), np.zeros(0))) is None


def test_the_worst_groups_with_enough_samples_come_first() -> None:
    sizes = [30, 9, 20, *[10] * 12]
    of = np.repeat(np.arange(15), sizes)
    right = np.ones(len(of), bool)
    right[of == 2] = np.arange(20) % 2 == 0  # half of group 2
    right[of == 1] = False  # of too few
    right[of == 0] = np.arange(30) % 3 > 0
    groups = Groups(tuple(b"patient %02d" % n for n in range(15)), of)
    shuffled = np.random.default_rng(0).permutation(len(of))
    facts = SampleFacts(np.arange(3), groups=Groups(groups.names, of[shuffled]))
    table = by_group(records_of(np.zeros(len(of), np.int64), right[shuffled]), facts)
    assert table is not None
    assert [row[0] for row in table.rows[:2]] == ["patient 02", "patient 00"]
    assert [row[1:] for row in table.rows[:2]] == [("50.0%", "29.9–70.1%", "20"), ("66.7%", "48.8–80.8%", "30")]
    assert len(table.rows) == 10
    assert table.note.startswith("The worst 10 of 14 groups with 10 samples or more.")


@pytest.mark.parametrize(("samples", "features"), [(360, 64), (500, 300), (20, 300)])
def test_the_map_is_scikit_learns(samples: int, features: int) -> None:
    g = np.random.default_rng(0)
    values = (g.normal(5, 1, (samples, features)) * np.linspace(3, 1, features)).astype(np.float32)
    found, share = principal_components(values)
    expected = PCA(2, svd_solver="full").fit(values.astype(np.float64))
    places = expected.transform(values.astype(np.float64))
    signs = np.sign((found * places).sum(0))
    np.testing.assert_allclose(found, places * signs, atol=1e-9 * np.abs(places).max())
    assert share == pytest.approx(expected.explained_variance_ratio_.sum())
    np.testing.assert_array_equal(principal_components(values)[0], found)


def features_of(label: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(label[:, None], 0.1, (len(label), 8)).astype(np.float32)


def test_the_map_has_every_point_in_the_cloud_of_its_class_and_marks_the_errors() -> None:
    label = np.arange(90) % 3
    right = np.arange(90) % 9 > 0  # every third of class 0 is wrong
    rows = np.arange(0, 90, 2)
    found = data_map(records_of(label, right), SampleFacts(rows, features=features_of(label[rows])), ("a", "b", "c"))
    assert found is not None
    assert [(cloud.name, len(cloud.points), len(cloud.marked)) for cloud in found.clouds] == [
        (name, int((right & (label == n))[rows].sum()), int((~right & (label == n))[rows].sum()))
        for n, name in enumerate("abc")
    ]
    places, _ = principal_components(features_of(label[rows]))
    every = {tuple(each) for cloud in found.clouds for each in (*cloud.points, *cloud.marked)}
    assert every == {tuple(each) for each in places.tolist()}
    assert found.note.startswith("45 samples, drawn at random.")


def test_of_many_classes_those_with_the_most_errors_are_named() -> None:
    label = np.repeat(np.arange(300), 4)
    right = ~np.isin(label, np.arange(50, 50 + NAMED - 1))
    facts = SampleFacts(np.arange(1200), features=features_of(label))
    found = data_map(records_of(label, right), facts, tuple(f"class {n}" for n in range(300)))
    assert found is not None
    assert [cloud.name for cloud in found.clouds] == [
        *(f"class {n}" for n in range(50, 50 + NAMED - 1)), f"{300 - NAMED + 1} other classes"
    ]  # fmt: skip
    assert [cloud.faint for cloud in found.clouds] == [False] * (NAMED - 1) + [True]
    assert "The 11 classes with the most errors are named." in found.note


def test_features_without_a_direction_have_no_map() -> None:
    label, right, rows = np.arange(9) % 3, np.ones(9, bool), np.arange(9)
    for features in (np.ones((9, 4), np.float32), np.full((9, 4), np.nan, np.float32), np.ones((9, 1), np.float32)):
        assert data_map(records_of(label, right), SampleFacts(rows, features=features), ("a", "b", "c")) is None
    assert data_map(records_of(label, right), SampleFacts(rows), ("a", "b", "c")) is None
