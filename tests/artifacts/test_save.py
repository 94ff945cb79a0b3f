"""`resnets.save`: a model file from a network that was trained outside of `resnets train`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model import Model
from resnets.artifacts.model_file import ModelCard
from resnets.modalities.image.canvas import Canvas
from resnets.tasks.classification.settings import Classify
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.regression.settings import Regress
from resnets.tasks.segmentation.settings import Segment
from tests.command_line import call

INPUT = resnets.Preprocessing(resize=20, crop=16)
SPEC = resnets.Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=3)
NAMES = ["blue", "green", "red"]


def trained(spec: resnets.Spec = SPEC, seed: int = 1) -> Any:
    """A network whose running statistics are nowhere trivial."""
    network = resnets.create(spec, seed=seed)
    for name, value in network.state_dict().items():
        if "running" in name:
            value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(len(name))) + 0.5)
    return network


def images(count: int = 3) -> list[Image.Image]:
    pixels = np.random.default_rng(3).integers(0, 256, (count, 24, 30, 3), np.uint8)
    return [Image.fromarray(each) for each in pixels]


def logits_of(network: nn.Module) -> Tensor:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return network.eval()(x)  # type: ignore[no-any-return]


def test_a_saved_network_is_a_model_like_any_other(tmp_path: Path) -> None:
    network = trained()
    file = resnets.save(network, tmp_path / "new" / "m.safetensors", classes=NAMES, preprocessing=INPUT)
    assert file == tmp_path / "new" / "m.safetensors"
    assert [path.name for path in file.parent.iterdir()] == ["m.safetensors"]  # nothing is left of writing it
    model = resnets.load(file)
    assert (model.classes, model.spec, model.preprocessing) == (tuple(NAMES), SPEC, INPUT)
    assert model.card.settings == Classify()
    assert torch.equal(logits_of(model.network), logits_of(network))
    assert network.training is False  # as `logits_of` left it: saving changes nothing
    for number, image in enumerate(images(2)):
        image.save(tmp_path / f"{number}.png")
    answer = call("predict", file, tmp_path / "0.png", "--json")
    assert {each["name"] for each in answer.json["predictions"][0]["classes"]} == set(NAMES)
    assert call("describe", file, "--json").json["classes"] == NAMES
    folder = tmp_path / "data" / "red"
    folder.mkdir(parents=True)
    images(1)[0].save(folder / "a.png")
    assert call("evaluate", file, "--data", tmp_path / "data", "--json").json["samples"] == 1
    refused = call("evaluate", file)
    assert (refused.code, "give --data" in refused.err) == (2, True)


class Wrapper(nn.Module):
    """Such as DDP, DataParallel and timm's averages."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def _compiled(network: nn.Module) -> nn.Module:
    return torch.compile(network)  # type: ignore[return-value]


def _compiled_stage(network: Any) -> nn.Module:
    network.layer2 = torch.compile(network.layer2)
    return network  # type: ignore[no-any-return]


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": _compiled,
    "compiled stage": _compiled_stage,
    "average": AveragedModel,
    "wrapped": Wrapper,
    "data parallel": nn.DataParallel,
    "compiled average of a wrapper": lambda network: _compiled(AveragedModel(Wrapper(network))),
    "synchronised norms": nn.SyncBatchNorm.convert_sync_batchnorm,
    "half": lambda network: network.to(torch.bfloat16),
    "double": lambda network: network.double(),
    "channels last": lambda network: cast(Any, network).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_and_converted_networks_are_saved_as_plain_ones(name: str, tmp_path: Path) -> None:
    network = trained()
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    file = resnets.save(WRAPPED[name](network), tmp_path / "m.safetensors", classes=NAMES, preprocessing=INPUT)
    state = resnets.load(file).network.state_dict()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        kept = value.to(torch.bfloat16).float() if name == "half" and value.is_floating_point() else value
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], kept), key


def test_replaced_first_and_last_layers_are_part_of_the_spec(tmp_path: Path) -> None:
    network = trained()
    network.fc = nn.Linear(network.fc.in_features, 5)
    network.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
    grey = resnets.Preprocessing(resize=20, crop=16, color="L", mean=(0.5,), std=(0.5,))
    file = resnets.save(network, tmp_path / "m.safetensors", classes=list("abcde"), preprocessing=grey)
    model = resnets.load(file)
    assert (model.spec.classes, model.spec.channels) == (5, 1)
    x = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.network(x), network.eval()(x))


def test_like_gives_what_is_not_given(model: Model, path: Path, tmp_path: Path) -> None:
    network = copy.deepcopy(model.network)
    for like in (path, str(path), model):
        card = resnets.load(resnets.save(network, tmp_path / "m.safetensors", like=like)).card
        assert (card.classes, card.preprocessing, card.settings) == (
            model.classes, model.card.preprocessing, model.card.settings,
        )  # fmt: skip
        assert (card.recipe, card.environment) == (model.card.recipe, model.card.environment)
        assert card.metrics == {}  # those of other weights
    names = [name.upper() for name in model.classes]
    card = resnets.load(resnets.save(network, tmp_path / "m.safetensors", like=model, classes=names)).card
    assert card.classes == tuple(names)


def test_the_task_is_that_of_like_or_of_the_head(tmp_path: Path) -> None:
    file = tmp_path / "like.safetensors"

    def like(**fields: Any) -> Path:
        spec = resnets.create(SPEC, classes=len(fields["classes"])).spec
        card = ModelCard(spec=spec, preprocessing=INPUT, **fields)
        model_file.save(file, trained(spec).state_dict(), card)
        return file

    out = tmp_path / "m.safetensors"
    many = MultiLabel(thresholds=(0.2, 0.3, 0.4))
    like(classes=("a", "b", "c"), settings=many)
    assert resnets.load(resnets.save(trained(), out, like=file)).card.settings == many
    renamed = resnets.load(resnets.save(trained(), out, like=file, classes=NAMES)).card.settings
    assert renamed == MultiLabel()  # thresholds are those of other classes
    numbers = Regress(mean=3.0, std=2.0)
    like(classes=("target",), settings=numbers)
    one = trained(resnets.create(SPEC, classes=1).spec)
    assert resnets.load(resnets.save(one, out, like=file)).card.settings == numbers
    pixels = resnets.create("fcn_resnet18", classes=3, widths=(8, 8, 8, 8), stem_width=8)
    saved = resnets.load(resnets.save(pixels, out, classes=NAMES, preprocessing=Canvas()))
    assert saved.card.settings == Segment()
    x = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(saved.network(x), pixels.eval()(x), rtol=1e-5, atol=1e-5)


def quantized(network: nn.Module) -> nn.Module:
    convert: Any = torch.ao.quantization.quantize_dynamic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(network, {nn.Linear})  # type: ignore[no-any-return]


def broken(change: Any) -> nn.Module:
    network = trained()
    change(network)
    return network  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        (nn.Linear(2, 3), {}, "Linear is no network of this library: give the one inside"),
        (nn.Sequential(nn.Identity()), {}, "Sequential is no network of this library"),
        (broken(lambda n: setattr(n, "fc", nn.Sequential(nn.Dropout(), n.fc))), {}, "fc.weight is missing"),
        (broken(lambda n: setattr(n, "layer2", nn.Identity())), {}, "must be as resnets.create made them"),
        (broken(lambda n: setattr(n, "act", nn.GELU())), {}, "act is GELU, not ReLU"),
        (broken(lambda n: setattr(n, "avgpool", nn.AdaptiveMaxPool2d(1))), {}, "avgpool is AdaptiveMaxPool2d, not"),
        (broken(lambda n: setattr(n.bn1, "eps", 1e-3)), {}, "bn1 has eps 0.001, not 1e-05"),
        (broken(lambda n: setattr(n.conv1, "stride", (2, 2))), {}, r"conv1 has stride \(2, 2\), not \(1, 1\)"),
        (broken(lambda n: setattr(n.layer1[0], "downsample", None)), {}, "layer1.0.downsample is missing"),
        (broken(lambda n: n.layer2.append(nn.Tanh())), {}, "layer2.1 is new"),
        (broken(lambda n: n.fc.bias.data.fill_(float("nan"))), {}, "holds NaN"),
        (quantized(trained()), {}, "fc"),
        (resnets.create(SPEC).to("meta"), {}, "holds no numbers"),
        (resnets.create(SPEC, dimensions=1), {}, "1 dimensions"),
        (trained(), {"classes": ["a", "b"]}, "2 class names for 3 classes"),
        (trained(), {"classes": ["a", "b", "a"]}, "'a' occurs twice"),
        (trained(), {"classes": "abc"}, "takes a list of names"),
        (trained(), {"classes": [1, 2, 3]}, "1 is no text"),
        (trained(), {"classes": None}, "Give classes="),
        (trained(), {"preprocessing": None}, "Give preprocessing="),
        (trained(), {"preprocessing": Canvas()}, "takes inputs of a fixed size, and Canvas"),
        (trained(), {"preprocessing": resnets.Preprocessing(color="L", mean=(0.5,), std=(0.5,))}, "1 channels"),
        (trained(), {"like": "nowhere"}, "no model file or run folder nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_refused_with_a_way_out(
    network: nn.Module, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"classes": NAMES, "preprocessing": INPUT} | given
    with pytest.raises((resnets.UsageError, resnets.FileError), match=message):
        resnets.save(network, tmp_path / "m.safetensors", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(resnets.UsageError, match=r"write .*m\.safetensors, not .*m\.pth"):
        resnets.save(trained(), tmp_path / "m.pth", classes=NAMES, preprocessing=INPUT)


def test_an_input_that_is_too_small_for_the_network_is_refused(tmp_path: Path) -> None:
    spec = resnets.create("cifar_fast", classes=3).spec
    small = resnets.Preprocessing(resize=4, crop=4)
    assert spec.least_size > 4
    with pytest.raises(resnets.UsageError, match="too small for this network"):
        resnets.save(resnets.create(spec), tmp_path / "m.safetensors", classes=NAMES, preprocessing=small)
