"""Lightning's Trainer around a network: the example of docs/clients.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resnets
from tests.tools import guide
from tests.tools.small import images


# One test, since the import of Lightning takes seconds in each process.
def test_a_network_is_trained_and_its_checkpoint_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("Lightning", tmp_path, monkeypatch)
    trained = example.classifier.model
    assert trained.bn1.num_batches_tracked == 2
    assert torch.isfinite(example.trainer.callback_metrics["train_loss"])
    expected = trained.cpu().state_dict()
    for network in (example.net, resnets.load(tmp_path / "classifier.safetensors").network):
        state = network.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    again = example.Classifier.load_from_checkpoint(tmp_path / "classifier.ckpt", weights_only=True).eval()
    assert torch.equal(again.model(images()), example.net.eval()(images()))
