"""Weights of classes: torch's losses and scikit-learn's weights, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from resnets.core.errors import DataError, FileError, UsageError
from resnets.modalities.batch import Batch
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.read.mask import VOID
from resnets.tasks.balance import ClassWeights, balance_of, loss_weights
from resnets.tasks.catalog import open_task
from resnets.tasks.classification.settings import Classify
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.regression.settings import Regress
from resnets.tasks.segmentation.settings import Segment
from tests.modalities.image.mask_folders import write_pair

WEIGHTS = (0.5, 3.0, 1.25, 0.0)
G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(16, 4, generator=G)
LABELS = torch.randint(0, 4, (16,), generator=G)


def dataset(labels: Any, classes: tuple[str, ...] = ("a", "b", "c")) -> Any:
    class Labelled:
        def __init__(self) -> None:
            self.targets = {"labels": np.asarray(labels)}

        def __len__(self) -> int:
            return len(labels)

    labelled: Any = Labelled()
    labelled.classes = classes
    return labelled


def mean(task: Any, batch: Batch) -> torch.Tensor:
    """The mean loss of a batch as the step computes it."""
    (loss,) = task.loss(lambda inputs: inputs, batch).values()
    weights = task.weight(batch)
    return loss.sum() / (len(loss) if weights is None else weights.sum())  # type: ignore[no-any-return]


def test_the_loss_of_a_batch_is_torchs() -> None:
    task = open_task(Classify(), class_weights=WEIGHTS)
    expected = nn.CrossEntropyLoss(torch.tensor(WEIGHTS))(LOGITS, LABELS)
    torch.testing.assert_close(mean(task, Batch({"inputs": LOGITS, "labels": LABELS})), expected)


def test_label_smoothing_weighs_as_the_sample_does() -> None:
    task = open_task(Classify(), label_smoothing=0.1, class_weights=WEIGHTS)
    each = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")(LOGITS, LABELS)
    weights = torch.tensor(WEIGHTS)[LABELS]
    batch = Batch({"inputs": LOGITS, "labels": LABELS})
    torch.testing.assert_close(mean(task, batch), (each * weights).sum() / weights.sum())
    # At 100:1, torch's own weighs a sample of the common class more as one of the rare one than as itself.
    even = torch.zeros(1, 2, requires_grad=True)
    common = torch.zeros(1, dtype=torch.int64)
    rare: tuple[float, ...] = (0.505, 50.5)
    for loss, sign in (
        (nn.CrossEntropyLoss(torch.tensor(rare), label_smoothing=0.1)(even, common), 1),
        (
            mean(
                open_task(Classify(), label_smoothing=0.1, class_weights=rare),
                Batch({"inputs": even, "labels": common}),
            ),
            -1,
        ),
    ):
        (gradient,) = torch.autograd.grad(loss, even)
        assert sign * gradient[0, 0] > 0


def test_a_mixed_image_counts_as_both_of_its_images() -> None:
    partners, lam = LABELS.roll(1), torch.rand(16, generator=G)
    batch = Batch({"inputs": LOGITS, "labels": LABELS, "partner_labels": partners, "lam": lam})
    each = nn.CrossEntropyLoss(torch.tensor(WEIGHTS), reduction="none")
    losses = lam * each(LOGITS, LABELS) + (1 - lam) * each(LOGITS, partners)
    weights = torch.tensor(WEIGHTS)
    counted = lam * weights[LABELS] + (1 - lam) * weights[partners]
    torch.testing.assert_close(mean(open_task(Classify(), class_weights=WEIGHTS), batch), losses.sum() / counted.sum())


def test_binary_cross_entropy_weighs_each_sample_by_its_class() -> None:
    batch = Batch({"inputs": LOGITS, "labels": LABELS})
    settings = Classify(loss="binary_cross_entropy")
    plain = open_task(settings).loss(lambda inputs: inputs, batch)["loss"]
    weights = torch.tensor(WEIGHTS)[LABELS]
    torch.testing.assert_close(
        mean(open_task(settings, class_weights=WEIGHTS), batch), (plain * weights).sum() / weights.sum()
    )


def test_positive_labels_of_several_are_weighed_as_torch_does() -> None:
    labels = torch.randint(0, 2, (16, 4), generator=G)
    task = open_task(MultiLabel(), class_weights=WEIGHTS)
    expected = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHTS))(LOGITS, labels.float())
    batch = Batch({"inputs": LOGITS, "labels": labels})
    torch.testing.assert_close(mean(task, batch), expected)
    partners, lam = labels.roll(1, 0), torch.rand(16, generator=G)
    mixed = torch.lerp(partners.float(), labels.float(), lam[:, None])
    expected = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHTS))(LOGITS, mixed)
    torch.testing.assert_close(mean(task, batch | {"partner_labels": partners, "lam": lam}), expected)


def test_pixels_are_weighed_as_torch_does() -> None:
    logits = torch.randn(2, 4, 5, 6, generator=G)
    masks = torch.randint(0, 4, (2, 5, 6), generator=G).to(torch.uint8)
    masks[0, :2] = VOID

    class Net:
        def all_logits(self, inputs: Any) -> dict[str, torch.Tensor]:
            return {"out": inputs}

    task = open_task(Segment(), class_weights=WEIGHTS)
    batch = Batch({"inputs": logits, "masks": masks})
    weights = task.weight(batch)
    assert weights is not None
    found = task.loss(Net(), batch)["pixels"].sum() / weights.sum()  # type: ignore[arg-type]
    expected = nn.CrossEntropyLoss(torch.tensor(WEIGHTS), ignore_index=VOID)(logits, masks.long())
    torch.testing.assert_close(found, expected)


def test_weights_by_frequency_are_scikit_learns() -> None:
    labels = [0] * 40 + [1] * 3 + [2] * 7
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(loss_weights("weights", Classify(), dataset(labels)) or (), expected)
    with_empty = loss_weights("weights", Classify(), dataset(labels, ("a", "b", "c", "d")))
    np.testing.assert_allclose(with_empty or (), [*expected, 1])
    several = np.array([[1, 0], [0, 0], [1, 1], [1, 0]])
    assert loss_weights("weights", MultiLabel(), dataset(several, ("a", "b"))) == (1 / 3, 3.0)
    for balance in (None, "sampling"):
        assert loss_weights(balance, Classify(), dataset(labels)) is None  # type: ignore[arg-type]


def test_weights_by_the_pixels_of_masks_are_the_roots_of_scikit_learns(tmp_path: Path) -> None:
    for number in range(3):
        write_pair(tmp_path / "train" / f"{number}.png", tmp_path / "trainannot" / f"{number}.png", classes=4)
    Image.fromarray(np.zeros((12, 20), np.uint8)).save(tmp_path / "trainannot" / "0.png")
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\ne\n")  # no pixel has e
    masks = [np.array(Image.open(path)).ravel() for path in sorted((tmp_path / "trainannot").glob("*.png"))]
    pixels = np.concatenate(masks)
    train = Segment(ignore=2).adapt(open_dataset(str(tmp_path), "masks")).train
    classes = np.array([0, 1, 3])
    expected = compute_class_weight("balanced", classes=classes, y=pixels[pixels != 2]) ** 0.5
    np.testing.assert_allclose(loss_weights("weights", Segment(), train) or (), [*expected, 1])
    (tmp_path / "trainannot" / "1.png").write_bytes(b"damaged")
    pixels = np.concatenate([masks[0], masks[2]])
    expected = compute_class_weight("balanced", classes=classes, y=pixels[pixels != 2]) ** 0.5
    np.testing.assert_allclose(loss_weights("weights", Segment(), train) or (), [*expected, 1])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.json", '{"a": 1, "b": 2.5, "c": 0}'),
        ("w.csv", "a,1\nb,2.5\nc,0\n"),
        ("w.csv", "\ufeffclass,weight\r\na,1\r\nb,2.5\r\n\r\nc,0"),
    ],
)
def test_files_of_weights(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = balance_of(str(tmp_path / name))
    assert found == ClassWeights(classes=("a", "b", "c"), weights=(1, 2.5, 0)) == balance_of({"a": 1, "b": 2.5, "c": 0})
    assert loss_weights(found, Classify(), dataset([0, 1, 2])) == (1, 2.5, 0)
    assert loss_weights(found, Classify(), dataset([0, 1, 2], ("c", "a", "b"))) == (0, 1, 2.5)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"a": "much"}', FileError, r"w\.txt does not have a weight for each class \('a' has 'much'"),
        ('{"a": 1, "a": 2}', FileError, "the key 'a' occurs twice"),
        ('{"a": 1', FileError, "write a JSON object such as"),
        ("a,1\nb,2,3\n", FileError, "a row has 3 cells, not 2"),
        ("a,1\nb,much\n", FileError, "'b' has 'much', which is no number"),
        ("a,1\na,2\n", UsageError, r"w\.txt: The class 'a' has two weights"),
        ("a,-1\nb,2", UsageError, "The weight of 'a' must be 0 or more, not -1"),
        ("a,1\nb,nan", FileError, "'b' has 'nan', which is no number"),
        ("a,0\nb,0", UsageError, "must have a weight above 0"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text(text)
    with pytest.raises(error, match=message):
        balance_of(tmp_path / "w.txt")


def test_names_that_are_not_the_datas_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"There is no file wieghts: .* Did you mean weights\?"):
        balance_of("wieghts")
    with pytest.raises(UsageError, match="balance takes weights, sampling or a file"):
        balance_of(3)
    (tmp_path / "w.json").write_text(json.dumps({"a": 1, "b": 1, "cc": 2}))
    with pytest.raises(DataError, match=r"No class is called 'cc': did you mean c\?"):
        loss_weights(balance_of(tmp_path / "w.json"), Classify(), dataset([0, 1, 2]))
    with pytest.raises(DataError, match="balance has no weight of b, c: give each class one"):
        loss_weights(balance_of({"a": 1}), Classify(), dataset([0, 1, 2]))


def test_tasks_without_such_classes_refuse() -> None:
    data: Any = SimpleNamespace(classes=("a",), targets={})
    with pytest.raises(UsageError, match="it is not for regression"):
        loss_weights("weights", Regress(), data)
    with pytest.raises(UsageError, match="sampling draws samples by their one class: it is not for multi-label"):
        loss_weights("sampling", MultiLabel(), data)
    with pytest.raises(UsageError, match="sampling draws samples by their one class: it is not for segmentation"):
        loss_weights("sampling", Segment(), data)
