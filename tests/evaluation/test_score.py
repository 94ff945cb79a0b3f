"""Scores: exactly those of a plain loop over single pictures, however they are computed."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms

from resnets.data.folder import FolderSource, read_classes
from resnets.data.scan import scan
from resnets.data.sources import Subset
from resnets.errors import DataError
from resnets.evaluation.judge import Single
from resnets.evaluation.score import Scores, labels_for, score
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.tasks.classification import Classification

CLASSES = ("ant", "bee", "cat")
PREPROCESSING = Preprocessing(resize=20, crop=16)
TASK = Classification(label_smoothing=0.1)  # which evaluation leaves out


@pytest.fixture(scope="module")
def network() -> ResNet:
    network = create(Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=3), seed=5)
    with torch.no_grad():
        network.fc.weight *= 4
        network(torch.randn(64, 3, 16, 16))  # in training mode, for running statistics that fit
    return network.eval()


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    """51 pictures of all shapes, 17 a class."""
    rng = np.random.default_rng(0)
    for number in range(51):
        path = tmp_path / CLASSES[number % 3] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        height, width = rng.integers(10, 40, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return read_classes(tmp_path, None, [])


def one_by_one(network: ResNet, paths: Sequence[Path], labels: Sequence[int]) -> tuple[int, float]:
    """Hits and mean loss by a loop over single pictures in torchvision's usual pipeline."""
    transform = transforms.Compose(
        [
            transforms.Resize(20),
            transforms.CenterCrop(16),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    hits, losses = 0, []
    for path, label in zip(paths, labels, strict=True):
        with torch.no_grad():
            logits = network(transform(Image.open(path))[None])
        hits += int(logits.argmax()) == label
        losses.append(float(F.cross_entropy(logits, torch.tensor([label]))))
    return hits, float(np.mean(losses))


@pytest.mark.parametrize("batch", [1, 7, 128])
@pytest.mark.parametrize("workers", [0, 3])
def test_scores_are_those_of_a_plain_loop_at_any_batch_and_workers(
    batch: int, workers: int, network: ResNet, source: FolderSource
) -> None:
    scores = score(Single(network, PREPROCESSING), TASK, source, batch=batch, workers=workers)
    hits, loss = one_by_one(network, [source.path(i) for i in range(51)], source.labels.tolist())
    assert 0 < hits < 51
    assert scores.accuracy == hits / 51
    assert scores.loss == pytest.approx(loss, abs=1e-5)
    assert scores.samples == 51
    assert scores.ids.tolist() == list(range(51))
    assert scores.records["label"].tolist() == source.labels.tolist()
    assert scores.excluded == {}


def test_workers_do_not_change_a_bit(network: ResNet, source: FolderSource) -> None:
    first, second = (score(Single(network, PREPROCESSING), TASK, source, batch=7, workers=w) for w in (0, 3))
    for name, values in first.records.items():
        np.testing.assert_array_equal(second.records[name], values)


@pytest.mark.parametrize(("world", "batch"), [(2, 7), (3, 20), (3, 128)])
def test_ranks_that_share_the_pictures_all_get_the_result_of_one(
    world: int, batch: int, network: ResNet, source: FolderSource
) -> None:
    damage(source, [0, 7, 8])
    alone = score(Single(network, PREPROCESSING), TASK, source, batch=batch)
    parts: list[Any] = [None] * world
    everyone_is_here = threading.Barrier(world, timeout=60)

    def rank_of(rank: int) -> Scores:
        def gather(own: Any) -> list[Any]:
            parts[rank] = own
            everyone_is_here.wait()
            return parts

        return score(Single(network, PREPROCESSING), TASK, source, batch=batch, rank=rank, world=world, gather=gather)

    with ThreadPoolExecutor(world) as pool:
        for shared in pool.map(rank_of, range(world)):
            assert shared.summary() == alone.summary()
            assert shared.excluded == alone.excluded
            np.testing.assert_array_equal(shared.ids, alone.ids)


def test_pixels_in_memory_score_as_files_do(network: ResNet, source: FolderSource) -> None:
    pixels = scan(source, PREPROCESSING, keep=True, statistics=False).pixels
    from_files = score(Single(network, PREPROCESSING), TASK, source, batch=7)
    from_memory = score(Single(network, PREPROCESSING, pixels=pixels), TASK, source, batch=7)
    assert from_memory.summary() == from_files.summary()


def damage(source: FolderSource, numbers: Sequence[int]) -> None:
    for number in numbers:
        path = source.path(number)
        path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("batch", [1, 7, 128])
def test_damaged_pictures_are_named_count_nowhere_and_move_no_other(
    batch: int, network: ResNet, source: FolderSource
) -> None:
    whole = score(Single(network, PREPROCESSING), TASK, source, batch=batch)
    bad = [0, 20, 21, 22, 23, 24, 25, 26, 27, 50]
    damage(source, bad)
    scores = score(Single(network, PREPROCESSING), TASK, source, batch=batch, workers=2)
    good = [i for i in range(51) if i not in bad]
    assert sorted(scores.excluded) == bad
    assert all(str(source.path(i)) in message for i, message in scores.excluded.items())
    assert scores.ids.tolist() == good
    assert scores.records["label"].tolist() == source.labels[good].tolist()
    np.testing.assert_allclose(scores.records["loss"], whole.records["loss"][good], atol=1e-5)
    hits, loss = one_by_one(network, [source.path(i) for i in good], source.labels[good].tolist())
    assert (scores.accuracy, scores.samples) == (hits / 41, 41)
    assert scores.loss == pytest.approx(loss, abs=1e-5)
    assert scores.summary()["excluded"] == 10


def test_a_source_without_one_readable_picture_is_an_error(network: ResNet, source: FolderSource) -> None:
    damage(source, range(51))
    with pytest.raises(DataError, match=f"None of the 51 pictures could be read: {source.path(0)}"):
        score(Single(network, PREPROCESSING), TASK, source)


def test_a_network_leaves_evaluation_as_it_came(network: ResNet, source: FolderSource) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = score(Single(network, PREPROCESSING), TASK, source).summary()
    try:
        assert score(Single(network.train(), PREPROCESSING), TASK, source).summary() == expected
        assert network.training
    finally:
        network.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_labels_match_by_name_when_the_model_orders_classes_otherwise(network: ResNet, source: FolderSource) -> None:
    order = [2, 0, 1]
    shuffled = create(network.spec)
    shuffled.load_state_dict(network.state_dict())
    with torch.no_grad():
        shuffled.fc.weight.copy_(network.fc.weight[order])
        shuffled.fc.bias.copy_(network.fc.bias[order])
    classes = tuple(CLASSES[i] for i in order)
    plain = score(Single(network, PREPROCESSING), TASK, source).metrics
    renamed = score(
        Single(shuffled, PREPROCESSING), TASK, source, labels=labels_for(source, classes), classes=classes
    ).metrics
    assert renamed["accuracy"] == plain["accuracy"]
    assert list(renamed["classes"]) == list(classes)
    assert renamed["classes"] == plain["classes"]


def test_labels_of_a_source_with_fewer_classes_keep_their_names(source: FolderSource) -> None:
    few = replace(source, classes=("cat", "ant"), labels=np.array([0, 1, 1, 0]), files=source.files[:4])
    assert labels_for(few, ("ant", "bee", "cat")).tolist() == [2, 0, 0, 2]


def test_a_class_that_the_model_lacks_is_refused_with_both_lists(source: FolderSource) -> None:
    with pytest.raises(DataError, match=r"does not know: bee\. It knows ant, cat\."):
        labels_for(source, ("ant", "cat"))


def test_a_split_that_lacks_a_class_leaves_its_row_empty(network: ResNet, source: FolderSource) -> None:
    part = Subset(source, np.flatnonzero(source.labels != 1))
    metrics = score(Single(network, PREPROCESSING), TASK, part).metrics
    assert [metrics["classes"][name]["support"] for name in CLASSES] == [17, 0, 17]
    assert metrics["classes"]["bee"]["recall"] == 0


def test_figures_are_read_by_name_and_as_json(network: ResNet, source: FolderSource) -> None:
    scores = score(Single(network, PREPROCESSING), TASK, source)
    expected = {**scores.metrics, "excluded": 0, "split": "test", "damaged": {}}
    assert json.loads(json.dumps(scores.summary())) == expected
    with pytest.raises(AttributeError, match="acuracy"):
        scores.acuracy  # noqa: B018
    assert isinstance(scores, Scores)
