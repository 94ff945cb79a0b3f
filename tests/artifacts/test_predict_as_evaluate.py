"""A model's predictions are what its evaluation scores, whatever mode its network is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

import resnets
from resnets.artifacts import model_file, runtimes
from resnets.artifacts.model import Model, load
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import DataError
from resnets.evaluation.predictor import Ensemble, Member, NetworkPredictor
from resnets.evaluation.scoring import score
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.preprocessing import Preprocessing, TestTimeAugmentation
from resnets.modalities.inputs import open_reader
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.tasks.classification.task import Classification
from tests.artifacts.test_model import photo
from tests.artifacts.test_runtimes import lively
from tests.training.runs import make_images

SPEC = Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data"), train=1, val=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    network = lively(SPEC)
    names = ("class0", "class1", "class2")
    card = ModelCard(spec=SPEC, classes=names, preprocessing=Preprocessing(resize=20, crop=16))
    model_file.save(path, network.state_dict(), card)
    return path


def with_tta(model: Model, tta: str) -> Model:
    return Model(model.network, replace(model.card, recipe={"tta": tta}))


def confidences(model: Model, data: Path) -> tuple[list[int], list[float]]:
    """Class and probability by `evaluate` for each test image, in the order of their paths."""
    scores = resnets.evaluate(model, data=str(data))
    return scores.records["predicted"].tolist(), scores.records["confidence"].tolist()


@pytest.mark.parametrize("tta", get_args(TestTimeAugmentation))
@pytest.mark.parametrize("runtime", ["torch", "folded", "openvino", "onnxruntime"])
def test_predictions_are_those_that_evaluation_scores(runtime: Any, tta: str, file: Path, data: Path) -> None:
    model = with_tta(load(file, runtime=runtime, precision="fp32"), tta)
    values, classes = model.probabilities(sorted(data.glob("val/*/*.png"))).max(1)
    expected = confidences(model, data)
    assert classes.tolist() == expected[0]
    assert values.tolist() == pytest.approx(expected[1], abs=1e-5)


def test_each_tta_has_an_answer_of_its_own(file: Path) -> None:
    found = {
        tuple(with_tta(load(file), tta).probabilities([photo()])[0].tolist()) for tta in get_args(TestTimeAugmentation)
    }
    assert len(found) == len(get_args(TestTimeAugmentation))


def modes_and_state(network: nn.Module) -> tuple[dict[str, bool], dict[str, torch.Tensor]]:
    modes = {name: module.training for name, module in network.named_modules()}
    return modes, {name: value.clone() for name, value in network.state_dict().items()}


def test_a_network_in_training_mode_is_evaluated_in_evaluation_mode_and_left_as_it_was(file: Path, data: Path) -> None:
    model = load(file)
    paths = sorted(data.glob("val/*/*.png"))
    single = NetworkPredictor(model.network, Classification(), open_reader(model.card.preprocessing))
    dataset = open_dataset(str(data)).test
    crops = [single.load(dataset, index) for index in range(len(dataset))]
    whole = Ensemble([Member(single, (0, 1, 2))])

    def answers() -> list[Any]:
        return [
            model.probabilities(paths).tolist(),
            model.predict(paths[0]),
            model.predict_many(paths, batch=3),
            resnets.predict(model, paths[0]),
            confidences(model, data),
            score(whole, Classification(), dataset).records["confidence"].tolist(),
            single.predict(crops).tolist(),
        ]

    expected = answers()
    model.network.train()
    model.network.get_submodule("layer1").eval()  # as where a stage is frozen
    modes, state = modes_and_state(model.network)
    assert answers() == expected
    with pytest.raises(DataError):
        model.predict(b"no image")
    modes_after, state_after = modes_and_state(model.network)
    assert modes_after == modes
    assert all(torch.equal(state_after[name], value) for name, value in state.items())


@pytest.mark.parametrize("runtime", ["folded", "openvino", "onnxruntime"])
def test_runtimes_make_of_a_network_in_training_mode_what_they_make_in_evaluation_mode(runtime: Any) -> None:
    network = create(SPEC, seed=1).train()
    modes, state = modes_and_state(network)
    images = torch.rand(2, 3, 16, 16)
    built = runtimes.build(network, runtime, "fp32")
    modes_after, state_after = modes_and_state(network)
    assert modes_after == modes
    assert all(torch.equal(state_after[name], value) for name, value in state.items())
    with torch.inference_mode():
        torch.testing.assert_close(built(images), network.eval()(images), rtol=1e-3, atol=1e-3)
