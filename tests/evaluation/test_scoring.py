"""Scores: exactly those of a plain loop over single images, however they are computed."""

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

from resnets.core.errors import DataError
from resnets.data.scan import scan
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores, class_order, score
from resnets.modalities.base import Subset
from resnets.modalities.image.datasets.folder import FolderDataset, read_classes
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.inputs import open_reader
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.tasks.classification.task import Classification

CLASSES = ("ant", "bee", "cat")
PREPROCESSING = Preprocessing(resize=20, crop=16)
TASK = Classification(label_smoothing=0.1)  # which evaluation leaves out


def predictor(network: ResNet, *, prepared: Pixels | None = None) -> NetworkPredictor:
    return NetworkPredictor(network, TASK, open_reader(PREPROCESSING), prepared=prepared)


@pytest.fixture(scope="module")
def network() -> ResNet:
    network = create(Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=3), seed=5)
    with torch.no_grad():
        network.fc.weight *= 4
        network(torch.randn(64, 3, 16, 16))  # in training mode, for running statistics that fit
    return network.eval()


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    """51 images of all shapes, 17 a class."""
    rng = np.random.default_rng(0)
    for number in range(51):
        path = tmp_path / CLASSES[number % 3] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        height, width = rng.integers(10, 40, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return read_classes(tmp_path, None, [])


def one_by_one(network: ResNet, paths: Sequence[Path], labels: Sequence[int]) -> tuple[int, float]:
    """Hits and mean loss by a loop over single images in torchvision's usual pipeline."""
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
    batch: int, workers: int, network: ResNet, dataset: FolderDataset
) -> None:
    scores = score(predictor(network), TASK, dataset, batch=batch, workers=workers)
    hits, loss = one_by_one(network, [dataset.path(i) for i in range(51)], dataset.labels.tolist())
    assert 0 < hits < 51
    assert scores.accuracy == hits / 51
    assert scores.loss == pytest.approx(loss, abs=1e-5)
    assert scores.samples == 51
    assert scores.ids.tolist() == list(range(51))
    assert scores.records["label"].tolist() == dataset.labels.tolist()
    assert scores.excluded == {}


def test_workers_do_not_change_a_bit(network: ResNet, dataset: FolderDataset) -> None:
    first, second = (score(predictor(network), TASK, dataset, batch=7, workers=w) for w in (0, 3))
    for name, values in first.records.items():
        np.testing.assert_array_equal(second.records[name], values)


@pytest.mark.parametrize(("world", "batch"), [(2, 7), (3, 20), (3, 128)])
def test_ranks_that_share_the_images_all_get_the_result_of_one(
    world: int, batch: int, network: ResNet, dataset: FolderDataset
) -> None:
    damage(dataset, [0, 7, 8])
    alone = score(predictor(network), TASK, dataset, batch=batch)
    parts: list[Any] = [None] * world
    everyone_is_here = threading.Barrier(world, timeout=60)

    def rank_of(rank: int) -> Scores:
        def gather(own: Any) -> list[Any]:
            parts[rank] = own
            everyone_is_here.wait()
            return parts

        return score(predictor(network), TASK, dataset, batch=batch, rank=rank, world=world, gather=gather)

    with ThreadPoolExecutor(world) as pool:
        for shared in pool.map(rank_of, range(world)):
            assert shared.summary() == alone.summary()
            assert shared.excluded == alone.excluded
            np.testing.assert_array_equal(shared.ids, alone.ids)


def test_pixels_in_memory_score_as_files_do(network: ResNet, dataset: FolderDataset) -> None:
    pixels = scan(dataset, open_reader(PREPROCESSING), keep=True, statistics=False).prepared
    from_files = score(predictor(network), TASK, dataset, batch=7)
    from_memory = score(predictor(network, prepared=pixels), TASK, dataset, batch=7)
    assert from_memory.summary() == from_files.summary()


def damage(dataset: FolderDataset, numbers: Sequence[int]) -> None:
    for number in numbers:
        path = dataset.path(number)
        path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("batch", [1, 7, 128])
def test_damaged_images_are_named_count_nowhere_and_move_no_other(
    batch: int, network: ResNet, dataset: FolderDataset
) -> None:
    whole = score(predictor(network), TASK, dataset, batch=batch)
    bad = [0, 20, 21, 22, 23, 24, 25, 26, 27, 50]
    damage(dataset, bad)
    scores = score(predictor(network), TASK, dataset, batch=batch, workers=2)
    good = [i for i in range(51) if i not in bad]
    assert sorted(scores.excluded) == bad
    assert all(str(dataset.path(i)) in message for i, message in scores.excluded.items())
    assert scores.ids.tolist() == good
    assert scores.records["label"].tolist() == dataset.labels[good].tolist()
    np.testing.assert_allclose(scores.records["loss"], whole.records["loss"][good], atol=1e-5)
    hits, loss = one_by_one(network, [dataset.path(i) for i in good], dataset.labels[good].tolist())
    assert (scores.accuracy, scores.samples) == (hits / 41, 41)
    assert scores.loss == pytest.approx(loss, abs=1e-5)
    assert scores.summary()["excluded"] == 10


def test_a_dataset_without_one_readable_image_is_an_error(network: ResNet, dataset: FolderDataset) -> None:
    damage(dataset, range(51))
    with pytest.raises(DataError, match=f"None of the 51 images could be read: {dataset.path(0)}"):
        score(predictor(network), TASK, dataset)


def test_a_network_leaves_evaluation_as_it_came(network: ResNet, dataset: FolderDataset) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = score(predictor(network), TASK, dataset).summary()
    try:
        assert score(predictor(network.train()), TASK, dataset).summary() == expected
        assert network.training
    finally:
        network.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_labels_match_by_name_when_the_model_orders_classes_otherwise(network: ResNet, dataset: FolderDataset) -> None:
    order = [2, 0, 1]
    shuffled = create(network.spec)
    shuffled.load_state_dict(network.state_dict())
    with torch.no_grad():
        shuffled.fc.weight.copy_(network.fc.weight[order])
        shuffled.fc.bias.copy_(network.fc.bias[order])
    classes = tuple(CLASSES[i] for i in order)
    plain = score(predictor(network), TASK, dataset).metrics
    renamed = score(predictor(shuffled), TASK, dataset, classes=classes).metrics
    assert renamed["accuracy"] == plain["accuracy"]
    assert list(renamed["classes"]) == list(classes)
    assert renamed["classes"] == plain["classes"]


def test_labels_of_a_dataset_with_fewer_classes_keep_their_names(network: ResNet, dataset: FolderDataset) -> None:
    few = replace(dataset, classes=("cat", "ant"), labels=np.array([0, 1, 1, 0]), files=dataset.files[:4])
    scores = score(predictor(network), TASK, few, classes=("ant", "bee", "cat"))
    assert scores.records["label"].tolist() == [2, 0, 0, 2]
    assert class_order(few, ("ant", "bee", "cat")).tolist() == [2, 0]


def test_a_class_that_the_model_lacks_is_refused_with_both_lists(dataset: FolderDataset) -> None:
    with pytest.raises(DataError, match=r"does not know: bee\. It knows ant, cat\."):
        class_order(dataset, ("ant", "cat"))


def test_a_split_that_lacks_a_class_leaves_its_row_empty(network: ResNet, dataset: FolderDataset) -> None:
    part = Subset(dataset, np.flatnonzero(dataset.labels != 1))
    metrics = score(predictor(network), TASK, part).metrics
    assert [metrics["classes"][name]["support"] for name in CLASSES] == [17, 0, 17]
    assert metrics["classes"]["bee"]["recall"] == 0


def test_figures_are_read_by_name_and_as_json(network: ResNet, dataset: FolderDataset) -> None:
    scores = score(predictor(network), TASK, dataset)
    expected = {**scores.metrics, "excluded": 0, "split": "test", "damaged": {}}
    assert json.loads(json.dumps(scores.summary())) == expected
    with pytest.raises(AttributeError, match="acuracy"):
        scores.acuracy  # noqa: B018
    assert isinstance(scores, Scores)
