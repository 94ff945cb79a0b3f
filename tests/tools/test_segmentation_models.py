"""segmentation_models_pytorch with our networks as encoders: the example of docs/clients.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnets.models.catalog import CATALOG
from tests.tools import guide
from tests.tools.small import images


# One test, since the import takes seconds in each process.
def test_networks_are_encoders_of_every_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("segmentation_models_pytorch", tmp_path, monkeypatch)
    assert example.logits.shape == (2, 3, 64, 64)
    example.logits.square().mean().backward()
    assert all(p.grad is not None for p in example.unet.parameters())
    with torch.inference_mode():
        encoder = example.unet.encoder.eval()
        found = encoder(images(1, 64))
        assert [each.shape[1] for each in found] == encoder.out_channels
        assert torch.equal(found[-1], encoder.net.features(images(1, 64))["C5"])
        assert example.deeplab.eval()(images(1, 64)).shape == (1, 3, 64, 64)
        assert example.deeplab.encoder(images(1, 64))[-1].shape[-1] == 4  # 64 pixels at stride 16
        spec = replace(CATALOG["resnet18"], widths=(8, 16, 24, 32))
        example.encoders["small"] = {"encoder": type(encoder), "pretrained_settings": {}, "params": {"name": spec}}
        for name in ("UnetPlusPlus", "FPN", "PSPNet", "Linknet", "MAnet", "UPerNet", "Segformer"):
            network = getattr(example.smp, name)("small", encoder_weights=None, classes=2).eval()
            assert network(images(1, 64)).shape == (1, 2, 64, 64), name
        # PAN dilates, and shortcut D has a pool in it.
        pan = example.smp.PAN("resnets-resnet50d", encoder_weights=None, classes=2).eval()
        assert pan(images(1, 128)).shape == (1, 2, 128, 128)
