"""Embeddings of a model, and moving it to a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resnets
from resnets.artifacts.model import Model
from resnets.artifacts.model_file import ModelCard
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from resnets.tasks.segmentation.settings import Segment
from tests.conftest import noise


def images(*sizes: tuple[int, int]) -> list[Image.Image]:
    return [Image.fromarray(noise(*size, seed=number)) for number, size in enumerate(sizes)]


def normalized(image: Image.Image, size: int, crop: int) -> Tensor:
    """(1, 3, crop, crop) as timm and torchvision prepare an image, by Pillow and NumPy."""
    width, height = image.size
    short = min(width, height)
    image = image.resize((width * size // short, height * size // short), Image.Resampling.BILINEAR)
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32) / 255
    pixels = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


@torch.no_grad()
def test_embeddings_are_what_the_classifier_gets(model: Model) -> None:
    given = images((50, 40), (36, 36), (70, 44))
    found = model.embed(given)
    assert (found.shape, found.dtype, found.device.type) == ((3, 16), torch.float32, "cpu")
    assert not found.requires_grad
    network = model.network
    assert isinstance(network, resnets.ResNet)
    x = torch.cat([normalized(each, 36, 32) for each in given])
    pooled = network.features(x)["C3"].mean((2, 3))
    torch.testing.assert_close(found, pooled, rtol=1e-5, atol=1e-5)
    probabilities = torch.softmax(network.fc(found), 1)
    torch.testing.assert_close(probabilities, model.probabilities(given), rtol=1e-5, atol=1e-6)
    assert (found.std(0) > 1e-3).float().mean() > 0.8


def test_embeddings_do_not_depend_on_batches_nor_on_the_mode(model: Model) -> None:
    given = images((40, 40), (50, 40), (40, 50))
    alone = model.embed(given, batch=1, workers=0)
    torch.testing.assert_close(alone, model.embed(iter(given)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone[:1], model.embed(given[0]), rtol=1e-5, atol=1e-6)
    model.network.train()
    torch.testing.assert_close(alone, model.embed(given), rtol=1e-5, atol=1e-6)
    assert model.network.training
    assert model.embed([]).shape == (0, 16)


def test_embeddings_are_averaged_over_crops(model: Model) -> None:
    given = images((40, 40), (44, 44))
    mirrored = [each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in given]
    mean = (model.embed(given) + model.embed(mirrored)) / 2
    torch.testing.assert_close(model.embed(given, tta="flip"), mean, rtol=1e-4, atol=1e-4)
    with pytest.raises(resnets.UsageError, match="did you mean flip"):
        model.embed(given, tta="flop")


@pytest.mark.parametrize("pool", ["average", "max"])
@torch.no_grad()
def test_networks_of_pixels_and_other_pools_have_embeddings(pool: str) -> None:
    fields: dict[str, Any] = {"widths": (8, 8, 8, 12), "stem_width": 8, "pool": pool}
    network = resnets.create("fcn_resnet18", classes=2, **fields).eval()
    card = ModelCard(spec=network.spec, classes=("a", "b"), preprocessing=Canvas(), settings=Segment())
    given = images((50, 40), (64, 48))
    found = Model(network, card).embed(given)
    pixels = [torch.from_numpy(np.asarray(each, np.float32).transpose(2, 0, 1))[None] / 255 for each in given]
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    last = [list(network.features((each - mean) / std).values())[-1] for each in pixels]
    expected = torch.cat([each.amax((2, 3)) if pool == "max" else each.mean((2, 3)) for each in last])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_preactivation_nets_embed_what_is_normalised(tmp_path: Path) -> None:
    spec = resnets.Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, preactivation=True, classes=2)
    network = resnets.create(spec)
    settings = resnets.Preprocessing(resize=16, crop=16)
    model = resnets.load(resnets.save(network, tmp_path / "m.safetensors", classes=["a", "b"], preprocessing=settings))
    given = images((20, 20), (20, 20))
    with torch.no_grad():
        logits = network.fc(model.embed(given))  # type: ignore[operator]
    torch.testing.assert_close(torch.softmax(logits, 1), model.probabilities(given), rtol=1e-5, atol=1e-6)


def test_what_has_no_embedding_is_refused(model: Model, path: Path, tmp_path: Path) -> None:
    with pytest.raises(resnets.UsageError, match=r"runtime torch in fp32"):
        resnets.load(path, runtime="folded").embed(images((40, 40)))
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    given = [*images((40, 40)), damaged]
    with pytest.raises(resnets.PredictionError) as caught:
        model.embed(given)
    assert list(caught.value.failed) == [1]
    torch.testing.assert_close(caught.value.predictions[0], model.embed(given[:1])[0])


def test_to_moves_the_network_and_returns_the_model(model: Model, path: Path) -> None:
    assert model.to("cpu") is model
    assert model.to(torch.device("cpu")).device == torch.device("cpu")
    with pytest.raises(resnets.UsageError, match="float32"):
        model.to(torch.float16)  # type: ignore[arg-type]
    with pytest.raises(resnets.UsageError, match="'gpu' cannot be used"):
        model.to("gpu")


def test_a_runtime_of_the_cpu_is_not_moved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folded = resnets.load(path, runtime="folded")
    assert folded.to("cpu") is folded
    monkeypatch.setattr("resnets.artifacts.model.find_device", torch.device)
    with pytest.raises(resnets.UsageError, match="on the CPU alone"):
        folded.to("cuda")


def test_to_another_device_moves_every_weight(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnets.artifacts.model.find_device", torch.device)
    model.to("meta")  # stands for a device that this machine may lack
    assert {value.device.type for value in model.network.state_dict().values()} == {"meta"}
    assert model.device.type == "meta"
    assert isinstance(model.network, nn.Module)
