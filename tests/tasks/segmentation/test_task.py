"""The task of segmentation: from networks to masks at the size of each image, and to answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.models.heads import FCNHead
from resnets.models.initialize import initialize
from resnets.models.spec import Spec
from resnets.tasks.base import Task
from resnets.tasks.segmentation.answers import colors
from resnets.tasks.segmentation.settings import Segment
from resnets.tasks.segmentation.task import Segmentation
from tests.conftest import noise

SPEC = Spec(depths=(1, 1), widths=(4, 8), stem="cifar", stem_width=4, classes=3, head=FCNHead(auxiliary=True))
NAMES = ("sky", "road", "tree")
TASK: Task = Segmentation(Segment(auxiliary_weight=0.3))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    built = TASK.build(SPEC)
    initialize(built, seed=0)
    return built.eval()


def evaluated(network: torch.nn.Module, image: torch.Tensor, size: tuple[int, int], *, mirrored: bool) -> torch.Tensor:
    dense = {"inputs": image, "mirrored": torch.tensor([mirrored]), "sizes": torch.tensor([size])}
    with torch.inference_mode():
        (logits,) = TASK.predict(network, Batch(dense))
    return logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [(9, 14), (1, 1), (32, 20)])
def test_outputs_have_the_size_of_the_original(network: torch.nn.Module, size: tuple[int, int]) -> None:
    image = torch.randn(1, 3, 9, 14)
    logits = evaluated(network, image, size, mirrored=False)
    with torch.inference_mode():
        expected = F.interpolate(network(image), size, mode="bilinear", align_corners=False)[0]
    assert logits.shape == (3, *size)
    torch.testing.assert_close(logits, expected)


def test_mirrored_crops_are_turned_back(network: torch.nn.Module) -> None:
    image = torch.randn(1, 3, 9, 14)
    with torch.inference_mode():
        expected = network(image.flip(-1)).flip(-1)[0]
    torch.testing.assert_close(evaluated(network, image.flip(-1), (9, 14), mirrored=True), expected)


def test_means_are_of_probabilities_at_the_size_of_the_original(network: torch.nn.Module) -> None:
    logits = [torch.randn(3, 4, 5), torch.randn(3, 4, 5)]
    means = TASK.to_mean(logits)
    assert means[0].dtype == torch.float64
    torch.testing.assert_close(means[0].sum(0), torch.ones(4, 5, dtype=torch.float64))
    (mean,) = TASK.from_mean([(means[0] + means[1]) / 2])
    torch.testing.assert_close(F.softmax(mean, 0), (means[0] + means[1]) / 2)
    assert torch.equal(TASK.from_mean(means[:1])[0].argmax(0), logits[0].argmax(0))


def test_the_loss_has_the_auxiliary_heads_part_and_smoothing(network: torch.nn.Module) -> None:
    masks = torch.randint(0, 3, (2, 9, 14), dtype=torch.uint8)
    masks[0, :5] = 255
    batch = Batch({"inputs": torch.randn(2, 3, 9, 14), "masks": masks})
    with torch.no_grad():
        parts = TASK.loss(network, batch)
        smoothed = Segmentation(Segment(), label_smoothing=0.1).loss(network, batch)
        aux = network.all_logits(batch["inputs"])["aux"]  # type: ignore[operator]
    assert list(parts) == ["pixels", "auxiliary"]
    expected = F.cross_entropy(aux, masks.long(), ignore_index=255, reduction="none").sum((1, 2))
    torch.testing.assert_close(parts["auxiliary"], 0.3 * expected)
    assert not torch.allclose(parts["pixels"], smoothed["pixels"])
    weight = TASK.weight(batch)
    assert weight is not None
    assert weight.tolist() == [4 * 14, 9 * 14]


def test_masks_of_one_size_and_of_several_are_evaluated_alike() -> None:
    logits = [torch.randn(3, 4, 5) for _ in range(2)]
    masks = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    dense = TASK.evaluate_batch(logits, Batch({"masks": masks}))
    ragged = TASK.evaluate_batch(logits, Batch({}, {"masks": tuple(masks)}))
    assert all(torch.equal(dense[name], ragged[name]) for name in dense)


def test_classes_are_renumbered_and_void_stays() -> None:
    masks = np.array([[0, 1, 255]], np.uint8)
    assert TASK.reorder({"masks": masks}, np.array([2, 0]))["masks"].tolist() == [[2, 0, 255]]


def test_answers_are_masks_with_shares() -> None:
    mask = torch.tensor([[0, 2, 2, 2]])
    (answer,) = TASK.answers([F.one_hot(mask, 3).permute(2, 0, 1).float()], NAMES, 5)
    assert answer.mask.tolist() == [[0, 2, 2, 2]]
    assert TASK.answer_json(answer, NAMES) == {
        "classes": [{"name": "tree", "share": 0.75}, {"name": "sky", "share": 0.25}]
    }
    assert TASK.answer_lines(answer, NAMES) == ["   75.00%  tree", "   25.00%  sky"]
    names = tuple(f"{name}\x1b" for name in NAMES)  # which a terminal would obey
    assert TASK.answer_lines(answer, names) == ["   75.00%  tree\\x1b", "   25.00%  sky\\x1b"]


def test_files_of_an_answer(tmp_path: Path) -> None:
    mask = torch.randint(0, 3, (12, 20))
    (answer,) = TASK.answers([F.one_hot(mask, 3).permute(2, 0, 1).float()], NAMES, 5)
    image = Image.fromarray(noise(20, 12))
    assert TASK.write_answer(answer, tmp_path, "a", image, NAMES) == {"mask": "a.png"}
    written = Image.open(tmp_path / "a.png")
    assert written.mode == "L"
    assert np.array_equal(np.asarray(written), mask.numpy())
    drawn = np.asarray(Image.open(tmp_path / "a.drawn.jpg"), np.float64)
    expected = (np.asarray(image, np.float64) + colors()[mask.numpy()]) / 2
    assert drawn.shape == (12, 20, 3)
    assert np.abs(drawn.mean((0, 1)) - expected.mean((0, 1))).max() < 8
    with pytest.raises(UsageError, match="20 x 11 pixels"):
        TASK.write_answer(answer, tmp_path, "b", image.crop((0, 0, 20, 11)), NAMES)


def test_colours_are_pascals() -> None:
    # The first classes of the development kit: background, aeroplane, bicycle, bird, boat, and void.
    assert colors()[[0, 1, 2, 3, 4, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [224, 224, 192],
    ]  # fmt: skip
    assert len({tuple(color) for color in colors().tolist()}) == 256
