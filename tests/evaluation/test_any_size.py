"""The predictor of a task whose inputs have any size runs each sample alone, so that none depends on another."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.batch import Batch, Loaded

SIZES = [(8, 6), (8, 6), (5, 9), (8, 6), (4, 4)]


class Task:
    """A dense task: an output of the size of the original, of logits over two classes."""

    settings = SimpleNamespace(fixed=False)

    def __init__(self) -> None:
        self.seen: list[Batch] = []

    def predict(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        self.seen.append(batch)
        outputs = network(batch["inputs"])
        turned = [out.flip(-1) if flip else out for out, flip in zip(outputs, batch["mirrored"], strict=True)]
        return [out[:, : int(h), : int(w)] for out, (h, w) in zip(turned, batch["sizes"], strict=True)]

    def to_mean(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        return [each.double().softmax(0) for each in outputs]

    def from_mean(self, means: Sequence[Tensor]) -> list[Tensor]:
        return [each.log() for each in means]


READER: Any = SimpleNamespace(normalize=lambda inputs: inputs.float() / 255)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 3, padding=1))


def loaded(number: int, crops: int = 1) -> Loaded:
    g, (height, width) = np.random.default_rng(number), SIZES[number]
    pixels = g.integers(0, 256, (3, height + 1, width + 2), dtype=np.uint8)  # the canvas is larger than the image
    inputs = [pixels, pixels[..., ::-1].copy(), pixels[:, ::-1].copy()][:crops]
    return Loaded(inputs, (2, 1, 1)[:crops], (False, True, False)[:crops], (height, width))


@pytest.mark.parametrize("crops", [1, 3])
def test_an_answer_depends_on_its_own_sample_alone(crops: int, network: nn.Module) -> None:
    task: Any = Task()
    predictor = NetworkPredictor(network.train(), task, READER)
    samples = [loaded(number, crops) for number in range(5)]
    with torch.inference_mode():
        together = predictor.predict(samples)
        seen = list(task.seen)
        alone = [predictor.predict([each])[0] for each in samples]
    assert len(seen) == 5 * crops
    assert all(len(each) == 1 for each in seen)
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))
    assert [tuple(each.shape[1:]) for each in together] == SIZES
    assert network.training


def test_crops_of_any_size_are_averaged_by_their_weights(network: nn.Module) -> None:
    task: Any = Task()
    sample = loaded(2, crops=3)
    with torch.inference_mode():
        (found,) = NetworkPredictor(network, task, READER).predict([sample])
        network.eval()
        height, width = SIZES[2]
        expected = torch.zeros(2, height, width, dtype=torch.float64)
        for pixels, weight, mirrored in zip(sample.inputs, sample.weights, sample.mirrored, strict=True):
            output = network(torch.from_numpy(pixels)[None].float() / 255)[0]
            output = output.flip(-1) if mirrored else output
            expected += weight / 4 * output[:, :height, :width].double().softmax(0)
    torch.testing.assert_close(found, expected.log(), rtol=1e-5, atol=1e-6)
