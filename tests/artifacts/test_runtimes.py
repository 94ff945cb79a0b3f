"""Runtimes: the same answers as float32 torch, within what each states; what they keep; what they refuse."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnets
from resnets.artifacts import model_file, runtimes
from resnets.artifacts.model import Model, load
from resnets.artifacts.runtimes import onnxruntime
from resnets.artifacts.runtimes.openvino import OpenVINO
from resnets.cli import main
from resnets.core.devices import has_bf16
from resnets.core.errors import DataError, UsageError
from resnets.core.installation import install_command
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.models.surgery import fold_norms
from tests.artifacts.conftest import ThirdParty
from tests.artifacts.test_model import photo
from tests.training.runs import make_images

BF16 = pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this CPU does not compute in bf16")
CASES = [
    ("folded", "fp32", 1e-4), ("openvino", "fp32", 1e-3), ("onnxruntime", "fp32", 1e-3),
    *(pytest.param(name, "bf16", 0.05, marks=BF16) for name in ("torch", "folded", "openvino")),
]  # fmt: skip


def lively(name: str | Spec) -> ResNet:
    """A network whose norms are nowhere trivial, in evaluation mode."""
    network = create(resnets.CATALOG[name] if isinstance(name, str) else name, seed=1).eval()
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.weight.uniform_(0.5, 1.5, generator=g)
                module.bias.normal_(0, 0.1, generator=g)
                module.running_mean.normal_(0, 0.1, generator=g)
                module.running_var.uniform_(0.5, 1.5, generator=g)
    return network


def photos(network: ResNet, count: int = 3, size: int | None = None) -> Tensor:
    size = size or network.spec.usual_size
    return torch.randn(count, network.spec.channels, size, size, generator=torch.Generator().manual_seed(1))


def difference(network: ResNet, images: Tensor, other: nn.Module) -> float:
    """The largest, as a share of the largest logit."""
    with torch.inference_mode():
        expected, found = network(images), other(images)
    assert found.dtype == torch.float32
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50d", "cifar_resnet20", "cifar_preact110", "cifar_fast", "seresnet50", "plain18"]
)
def test_folded_norms_change_only_rounding(name: str) -> None:
    network = lively(name)
    folded = fold_norms(network)
    images = photos(network, 2, size=64)
    assert difference(network, images, folded) < 1e-4
    left = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    if network.spec.preactivation:
        assert all(n == "bn" or n.endswith(".bn1") for n in left)
    elif name == "cifar_fast":
        assert left == ["bn1", "layer2.0.bn1", "layer3.0.bn1"]  # those behind a pool
    else:
        assert left == []
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())  # the original is as it was


@pytest.mark.parametrize(("runtime", "precision", "tolerance"), CASES)
def test_logits_are_within_what_is_stated(runtime: Any, precision: Any, tolerance: float) -> None:
    network = lively("cifar_resnet20")
    built = runtimes.build(network, runtime, precision)
    for images in (photos(network), photos(network, 1), photos(network, 2, size=48)):
        assert difference(network, images, built) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_the_same_weights_with_another_activation_get_a_graph_of_their_own(runtime: Any, tmp_path: Path) -> None:
    gelu = lively("cifar_fast")
    relu = create(replace(gelu.spec, activation="relu")).eval()
    relu.load_state_dict(gelu.state_dict())
    for network in (gelu, relu, gelu):
        built = runtimes.build(network, runtime, "fp32", keep=tmp_path / "model.safetensors")
        for images in (photos(network), photos(network, 1, size=47)):
            assert difference(network, images, built) < 1e-3


def test_auto_is_the_reference_for_torch(model: Model) -> None:
    network: Any = model.network
    assert runtimes.build(network, "torch", "auto") is network


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_the_compiled_runtime() -> None:
    network = lively("cifar_resnet20")
    assert difference(network, photos(network), runtimes.build(network, "compiled", "fp32")) < 1e-4


def test_without_a_compiler_the_compiled_runtime_says_so(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    network: Any = model.network
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler"):
        runtimes.build(network, "compiled", "fp32")


@pytest.fixture
def file(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model_file.save(path, model.network.state_dict(), model.card)
    return path


@pytest.mark.slow
def test_graphs_are_kept_next_to_the_model_and_exported_again_when_damaged_or_stale(
    file: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(file).predict(photo(), top=7)
    found = resnets.predict(file, photo(), top=7, runtime="openvino", precision="fp32")[0]
    assert [name for name, _ in found] == [name for name, _ in before]
    (graph,) = file.with_suffix(".runtimes").rglob("*.xml")
    with monkeypatch.context() as patch:
        patch.setattr(OpenVINO, "_export", lambda *_: pytest.fail("a kept graph was exported again"))
        assert resnets.predict(file, photo(), top=7, runtime="openvino", precision="fp32")[0] == found
    graph.write_bytes(graph.read_bytes()[:100])
    assert resnets.predict(file, photo(), top=7, runtime="openvino", precision="fp32")[0] == found
    state = {k: v * 0 if k == "fc.weight" else v for k, v in model.network.state_dict().items()}
    model_file.save(file, state, model.card)
    flat = resnets.predict(file, photo(), top=7, runtime="openvino", precision="fp32")[0]
    assert {round(p, 3) for _, p in flat} == {round(1 / 7, 3)}  # not the old graph's answer


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "pattern"), [("openvino", "*.bin"), ("onnxruntime", "*.onnx")])
def test_a_kept_graph_that_was_changed_is_exported_again(
    runtime: Any, pattern: str, file: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(file: Path) -> dict[str, float]:
        (ranking,) = resnets.predict(file, photo(), top=7, runtime=runtime, precision="fp32")
        return dict(ranking)

    other = tmp_path / "other" / "model.safetensors"
    state = {k: -v if k == "fc.weight" else v for k, v in model.network.state_dict().items()}
    model_file.save(other, state, model.card)
    expected, of_other = answer(file), answer(other)
    assert expected != pytest.approx(of_other, abs=1e-3)
    (graph,), (other_graph,) = (each.with_suffix(".runtimes").rglob(pattern) for each in (file, other))
    for spoil in (
        lambda: graph.write_bytes(other_graph.read_bytes()),
        lambda: next(graph.parent.glob("*.sha256")).unlink(),
        lambda: next(graph.parent.glob("*.sha256")).write_text("nothing of the kind"),
        graph.unlink,
    ):
        spoil()
        assert answer(file) == pytest.approx(expected, abs=1e-6)
        assert graph.read_bytes() != other_graph.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(OpenVINO, "_export", lambda *_: pytest.fail("a kept graph was exported again"))
        patch.setattr(onnxruntime, "_export", lambda *_: pytest.fail("a kept graph was exported again"))
        assert answer(file) == pytest.approx(expected, abs=1e-6)


def test_int8_is_calibrated_on_images_and_says_where_they_are_missing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="photos is not here: give --calibrate FOLDER"):
        resnets.predict(file, photo(), runtime="openvino", precision="int8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        resnets.predict(file, photo(), runtime="openvino", precision="int8", calibrate=str(tmp_path / "empty"))


@pytest.mark.slow
def test_each_calibration_has_a_graph_of_its_own(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    export = OpenVINO._export

    def unquantized(self: Any, graphs: Any, calibration: Any, name: str) -> Any:
        made.append(f"{sum(1 for _ in calibration())} images")
        return export(self, graphs, None, "fp32")

    monkeypatch.setattr(OpenVINO, "_export", unquantized)
    folders = [make_images(tmp_path / str(count), train=count) for count in (2, 3)]
    for folder in [*folders, folders[0]]:
        resnets.predict(file, photo(), runtime="openvino", precision="int8", calibrate=str(folder / "train"))
    assert made == ["6 images", "9 images"]
    with pytest.raises(DataError, match="give --calibrate FOLDER"):
        resnets.predict(file, photo(), runtime="openvino", precision="int8", calibrate="nowhere")


def test_a_trained_model_is_benchmarked_one_image_at_a_time(file: Path) -> None:
    found = resnets.benchmark(str(file), batch=1, steps=1, runtime="openvino", precision="fp32")
    assert found["inference"]["batch"] == 1
    assert found["inference"]["environment"]["precision"] == found["inference"]["precision"] == "fp32"
    assert found["training"]["batch"] == 2
    assert found["size"] == 32
    assert all(found[part]["images_per_second"] > 0 for part in ("inference", "training", "loading"))


def test_a_trained_model_is_no_architecture_to_train(file: Path, tmp_path: Path) -> None:
    data = make_images(tmp_path / "data", train=4, val=2)
    with pytest.raises(UsageError, match="is no name of a network"):  # its weights would be left out without a word
        resnets.train("paper/cifar", data=str(data), model=str(file), out=tmp_path / "run")


def test_what_cannot_be_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(UsageError, match="for int8 take openvino"):
        load(file, runtime="folded", precision="int8")
    with pytest.raises(UsageError, match="Device 'meta' holds no numbers"):
        load(file, "meta", runtime="openvino")
    with pytest.raises(UsageError, match="computes on the CPU, not on meta"):
        runtimes.build(create(resnets.CATALOG["resnet18"]).to("meta"), "openvino", "auto")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    assert main(["predict", str(file), "x.png", "--runtime", "openvino"]) == 2
    assert f"which is not installed: {install_command(extra='export')}" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"runtime takes .*, not 'openvin': did you mean 'openvino'"):
        load(file, runtime="openvin")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="calibrate is for precision int8"):
        load(file, calibrate="photos")


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "precision", "least"), [("openvino", "bf16", 0.99), ("openvino", "int8", 0.98)])
def test_answers_on_a_trained_net(runtime: Any, precision: Any, least: float, third_party: ThirdParty) -> None:
    network, images, labels = third_party
    built = runtimes.build(network, runtime, precision, calibration=lambda: torch.split(images[:300], 1))
    with torch.inference_mode():
        expected = network(images).argmax(1)
        found = torch.cat([built(part) for part in torch.split(images, 500)]).argmax(1)
    assert float((expected == found).float().mean()) >= least
    assert float((found == labels).float().mean()) >= 0.998 - (1 - least)


def test_a_model_of_a_runtime_of_the_cpu_is_scored_there(file: Path) -> None:
    """On a machine with a GPU too, which evaluate and compare choose by default."""
    model = load(file, runtime="openvino", precision="fp32")
    assert model.predictor(device=torch.device("meta")).device.type == "cpu"
