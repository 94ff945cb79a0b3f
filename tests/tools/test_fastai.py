"""fastai's learners around a network: the example of docs/clients.md. It runs where fastai is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tools import guide
from tests.tools.small import images

pytest.importorskip("fastai", reason="scripts/tools installs fastai, whose dependencies are large")


def test_learners_cut_split_train_and_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("fastai", tmp_path, monkeypatch)
    body, head = example.learner.model
    names = [name for name, _ in example.resnet18().named_children()]
    assert len(body) == names.index("avgpool")
    assert head[-1].out_features == 2
    groups = [sum(p.numel() for p in group) for group in example.stages(example.learner.model)]
    assert sum(groups) == sum(p.numel() for p in example.learner.model.parameters())
    assert len(example.learner.opt.param_lists) == 3
    expected = example.whole.model.state_dict()
    assert all(torch.equal(value.cpu(), expected[name].cpu()) for name, value in example.net.state_dict().items())
    assert example.unet(images(2, 64)).shape == (2, 3, 64, 64)
    example.learner.freeze()
    assert not body[0].weight.requires_grad
    name, _, probabilities = example.learner.predict(tmp_path / "photos" / "ant" / "0.png")
    assert name in ("ant", "bee")
    assert probabilities.sum() == pytest.approx(1)
    example.learner.export(tmp_path / "learner.pkl")
