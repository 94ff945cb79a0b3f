"""Ten crops, several scales and ensembles, against the naive way: one image and one crop at a time, plain torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from PIL import Image
from torch import Tensor

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from tests.training.runs import make_images

SPEC = resnets.Spec(depths=(1, 1), widths=(8, 16), classes=3)
PREPROCESSING = Preprocessing(resize=40, crop=35, mean=(0.2, 0.3, 0.4), std=(0.2, 0.25, 0.3))
SIDES = (35, 40, 60, 75, 100)  # 224, 256, 384, 480 and 640 at a crop of 35


def save(path: Path, seed: int, classes: tuple[str, ...], preprocessing: Preprocessing = PREPROCESSING) -> ResNet:
    network = create(SPEC, seed=seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))  # type: ignore[union-attr]
        network.fc.weight.mul_(4)
    model_file.save(path, network.state_dict(), ModelCard(spec=SPEC, classes=classes, preprocessing=preprocessing))
    return network.eval()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """41 x 57 to 20 x 24: some taller, some wider, some smaller than what the network takes."""
    root = make_images(tmp_path / "images", train=1, val=4)
    g = np.random.default_rng(1)
    for number, size in enumerate([(41, 57), (90, 44), (64, 64)]):
        for label in range(3):
            noise = g.integers(0, 255, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(noise).resize(size).save(root / "val" / f"class{label}" / f"more{number}.png")
    return root


def naive(network: ResNet, path: Path, tta: str) -> Tensor:
    """(classes,) mean probabilities."""
    image = Image.open(path).convert("RGB")
    whole = TF.resize(image, [40], antialias=True)
    if tta == "center":
        crops = [TF.center_crop(whole, [35])]
    elif tta == "flip":
        crops = [TF.center_crop(whole, [35]), TF.hflip(TF.center_crop(whole, [35]))]
    elif tta == "shift":
        wider = TF.pad(TF.center_crop(whole, [35]), [1], padding_mode="reflect")
        three = [TF.crop(wider, place, place, 35, 35) for place in (0, 1, 2)]
        crops = three + [TF.hflip(each) for each in three]
        crops += [crops[1], crops[4]]  # a quarter for each that is not moved, an eighth for each that is
    elif tta == "ten-crop":
        # torchvision's ten_crop mirrors the whole image first, which moves its centre where sides are odd.
        five = list(TF.five_crop(whole, [35, 35]))
        crops = five + [TF.hflip(each) for each in five]
    else:
        resized = [TF.resize(image, [side], antialias=True) for side in SIDES]
        crops = resized + [TF.hflip(each) for each in resized]
    answers = []
    for each in crops:
        x = torch.from_numpy(np.array(each)).permute(2, 0, 1)[None].float() / 255
        x = (x - torch.tensor([0.2, 0.3, 0.4])[:, None, None]) / torch.tensor([0.2, 0.25, 0.3])[:, None, None]
        with torch.inference_mode():
            answers.append(torch.softmax(network(x), 1)[0])
    return torch.stack(answers).mean(0)


@pytest.mark.parametrize("tta", ["center", "flip", "shift", "ten-crop", "multi-scale"])
def test_the_crops_are_those_of_one_crop_at_a_time(tta: str, images: Path, tmp_path: Path) -> None:
    classes = ("class0", "class1", "class2")
    network = save(tmp_path / "m.safetensors", 0, classes)
    argv = ["evaluate", str(tmp_path / "m.safetensors"), "--data", str(images), "--tta", tta]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 0
    scores = resnets.evaluate(tmp_path / "m.safetensors", data=str(images), tta=tta)  # type: ignore[arg-type]
    files = sorted((images / "val").glob("*/*.png"))
    assert len(files) == len(scores.ids) == 21
    expected = torch.stack([naive(network, path, tta) for path in files])
    labels = torch.tensor([int(path.parent.name[-1]) for path in files])
    losses = -expected.gather(1, labels[:, None])[:, 0].log()
    assert torch.from_numpy(scores.records["loss"]) == pytest.approx(losses, abs=1e-5)
    assert torch.from_numpy(scores.records["confidence"]) == pytest.approx(expected.amax(1), abs=1e-5)
    assert scores.records["predicted"].tolist() == expected.argmax(1).tolist()
    assert 0.5 < float(expected.amax(1).mean()) < 0.999  # the crops disagree
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["accuracy"] == scores.accuracy


def test_an_ensemble_averages_probabilities_by_class_name(images: Path, tmp_path: Path) -> None:
    first = save(tmp_path / "1.safetensors", 1, ("class0", "class1", "class2"))
    second = save(tmp_path / "2.safetensors", 2, ("class2", "class0", "class1"))
    files = [str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")]
    scores = resnets.evaluate(*files, data=str(images), tta="flip")
    expected = torch.stack(
        [
            (naive(first, path, "flip") + naive(second, path, "flip")[[1, 2, 0]]) / 2
            for path in sorted((images / "val").glob("*/*.png"))
        ]
    )
    assert torch.from_numpy(scores.records["confidence"]) == pytest.approx(expected.amax(1), abs=1e-5)
    assert scores.records["predicted"].tolist() == expected.argmax(1).tolist()
    assert main(["evaluate", *files, "--data", str(images), "--json"]) == 0
    save(tmp_path / "3.safetensors", 3, ("class0", "class1", "dog"))
    with pytest.raises(UsageError, match="must know the same classes"):
        resnets.evaluate(files[0], tmp_path / "3.safetensors", data=str(images))


def test_a_mean_image_has_one_size(images: Path, tmp_path: Path) -> None:
    mean = encode_mean_image(np.zeros((3, 35, 35), np.float32))
    own = Preprocessing(resize=40, crop=35, mean_image=mean)
    save(tmp_path / "m.safetensors", 0, ("class0", "class1", "class2"), own)
    with pytest.raises(UsageError, match="mean image of 35 x 35"):
        resnets.evaluate(tmp_path / "m.safetensors", data=str(images), tta="multi-scale")
