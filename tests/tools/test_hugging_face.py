"""transformers and accelerate around a network: the example of docs/clients.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator, load_checkpoint_in_model
from accelerate.state import AcceleratorState, GradientState, PartialState

import resnets
from tests.tools import guide
from tests.tools.small import SMALL, images, trained


# One test, since the import of transformers takes seconds in each process.
def test_a_network_is_trained_saved_and_dispatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("Hugging Face", tmp_path, monkeypatch)
    assert example.trainer.state.global_step == 4
    fresh = example.ResNetsForImageClassification(example.ResNetsConfig()).model.state_dict()
    state = resnets.create("cifar_resnet20", classes=3).state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in state.items())  # as created, not drawn anew
    assert json.loads((tmp_path / "trained" / "config.json").read_text())["name"] == "cifar_resnet20"
    example.model.eval()
    with torch.inference_mode():
        expected = example.model(images()).logits
        assert torch.equal(example.again.eval()(images()).logits, expected)
        assert torch.equal(example.net.eval()(images()), expected)
        assert torch.equal(example.dispatched.eval()(images()), expected)
        filled = resnets.create("cifar_resnet20", classes=3, seed=1).eval()
        assert not torch.equal(filled(images()), expected)
        load_checkpoint_in_model(filled, str(tmp_path / "classifier.safetensors"))
        assert torch.equal(filled(images()), expected)


def test_the_step_of_an_accelerator_is_that_of_torch() -> None:
    networks = [trained().train() for _ in range(2)]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in networks]
    networks[0](images()).square().mean().backward()
    optimizers[0].step()
    accelerator = Accelerator(cpu=True)
    prepared, optimizer = accelerator.prepare(networks[1], optimizers[1])
    accelerator.backward(prepared(images()).square().mean())
    optimizer.step()
    expected = networks[0].state_dict()
    assert accelerator.unwrap_model(prepared).spec == SMALL
    assert all(torch.equal(value, expected[name]) for name, value in networks[1].state_dict().items())
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
