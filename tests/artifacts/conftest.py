"""A small model, its file, and a network and images of a third party."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model import Model
from resnets.artifacts.model_file import ModelCard
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec


@pytest.fixture
def model() -> Model:
    """Seven classes, weights and running statistics that are nowhere trivial."""
    torch.manual_seed(0)
    spec = Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=7)
    network = create(spec, seed=1).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            nn.init.normal_(module.running_mean)
    with torch.no_grad():
        network.fc.weight *= 8  # so that probabilities differ
    card = ModelCard(
        spec=spec,
        classes=("ant", "bee", "猫", "dog & cat", "Größe", "<b>", "g"),
        preprocessing=Preprocessing(resize=36, crop=32),
        recipe={"name": "small", "data": "photos"},
        environment={"device": "cpu"},
        metrics={"accuracy": 0.75, "classes": {"ant": {"f1": 0.5}}},
    )
    return Model(network, card)


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    """The model file of `model`."""
    path = tmp_path / "model.safetensors"
    model_file.save(path, model.network.state_dict(), model.card)
    return path


ThirdParty = tuple[ResNet, Tensor, Tensor]


@pytest.fixture
def third_party(shared: Path) -> ThirdParty:
    """A CIFAR network that was trained by others, 4,000 normalised images and their labels."""
    weights, folder = shared / "weights" / "cifar_resnet20_thirdparty.th", shared / "cifar10-lossless"
    if not weights.exists() or not folder.exists():
        pytest.skip(f"{weights} or {folder} is absent")
    network = resnets.create("cifar_resnet20", weights=weights).eval()
    assert isinstance(network, ResNet)
    rows = np.concatenate([np.asarray(Image.open(p)) for p in sorted(folder.glob("*.png"))])
    pixels = torch.from_numpy(rows.reshape(4000, 32, 32, 3)).permute(0, 3, 1, 2).float() / 255
    x = (pixels - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    return network, x, torch.from_numpy(np.loadtxt(folder / "labels.txt", np.int64))
