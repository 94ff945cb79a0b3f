"""torch.compile of a whole network and of each stage, with gradients; ONNX; TensorBoard's graph."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from tests.tools.small import SPECS, images, trained

onnxruntime = pytest.importorskip("onnxruntime")


def by_stage(network: ResNet, backend: str) -> ResNet:
    for name in network.stage_names:
        network.get_submodule(name).compile(backend=backend, fullgraph=True)
    return network


def whole(network: ResNet, backend: str) -> ResNet:
    network.compile(backend=backend, fullgraph=True)
    return network


Way = Callable[[ResNet, str], ResNet]
# Each spec in one way, since compiling takes a minute; one is traced in the fast suite.
BOTH = list(zip((whole, by_stage, whole, by_stage), SPECS.values(), strict=True))


@pytest.mark.parametrize(
    ("how", "spec"), [pytest.param(*BOTH[0], marks=pytest.mark.slow), BOTH[1]], ids=["whole", "stages"]
)
def test_a_traced_network_has_the_same_logits_gradients_and_statistics(spec: Spec, how: Way) -> None:
    check(spec, how, "eager")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "spec"), BOTH, ids=SPECS)
def test_a_compiled_network_has_the_same_logits_gradients_and_statistics(
    spec: Spec, how: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TORCHINDUCTOR_CACHE_DIR", str(tmp_path)
    )  # a killed process leaves half a library in the shared one
    check(spec, how, "inductor")


def check(spec: Spec, how: Way, backend: str) -> None:
    torch.compiler.reset()
    plain = trained(spec).train()
    compiled = how(copy.deepcopy(plain), backend)
    for network in (plain, compiled):
        network(images(4)).square().mean().backward()
    theirs = dict(compiled.named_parameters())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(theirs[name].grad, parameter.grad, rtol=1e-3, atol=1e-5)
    buffers = dict(compiled.named_buffers())
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(buffers[name], buffer)
    with torch.no_grad():
        torch.testing.assert_close(compiled.eval()(images()), plain.eval()(images()), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_torchs_onnx_export_has_the_same_logits(tmp_path: Path) -> None:
    network = trained()
    program = torch.onnx.export(network, (images(),), dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    assert program is not None
    program.save(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (name,) = (each.name for each in session.get_inputs())
    (found,) = session.run(None, {name: images(5).numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(images(5)), rtol=1e-4, atol=1e-5)


def test_tensorboard_draws_every_child(tmp_path: Path) -> None:
    network: nn.Module = trained()
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(network, images())
    events = EventAccumulator(str(tmp_path)).Reload()
    nodes = {node.name for node in events.Graph().node}
    for name, child in network.named_children():
        if not isinstance(child, nn.Identity):
            assert any(f"[{name}]" in node for node in nodes), name
