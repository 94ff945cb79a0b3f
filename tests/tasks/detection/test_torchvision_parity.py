"""Losses, gradients and answers are torchvision's, in float64, with the same weights and the same samples."""

from __future__ import annotations

import pytest
import torch

from tests.tasks.detection.peers import images, ours, share_samples, target, theirs

NAMES = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn")
SIZE = (64, 96)
TARGET = target([[8, 10, 50, 40], [30, 20, 90, 60], [0, 40, 31, 64], [80, 5, 81, 6]], [3, 90, 1, 17], SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_losses_gradients_and_answers(name: str) -> None:
    peer = theirs(name)
    network = ours(name, peer)
    assert list(network.state_dict()) == list(peer.state_dict())
    x = images(SIZE)
    share_samples(peer, network, torch.tensor([12345]))
    expected, found = (each.train()(x, [TARGET]) for each in (peer, network))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert value > 0
        torch.testing.assert_close(found[key], value, rtol=1e-8, atol=1e-8, msg=key)
    for losses in (expected, found):
        sum(losses.values()).backward()  # type: ignore[union-attr]
    gradients = {key: p.grad for key, p in peer.named_parameters()}
    for key, parameter in network.named_parameters():
        expected_gradient = gradients[key]
        assert expected_gradient is not None
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected_gradient, rtol=1e-8, atol=1e-8, msg=key)

    with torch.inference_mode():
        (expected,), (answer,) = (each.eval()(images(SIZE, seed=2)) for each in (peer, network))
    assert answer.keys() == expected.keys()
    assert len(expected["scores"]) >= 20
    assert len(expected["labels"].unique()) >= 3
    assert expected["scores"].max() - expected["scores"].min() > 0.03
    assert expected["scores"].diff().abs().min() > 1e-9  # so that the order is one
    assert torch.equal(answer["labels"], expected["labels"])
    for key in ("boxes", "scores", "masks"):
        if key in expected:
            torch.testing.assert_close(answer[key], expected[key], rtol=0, atol=1e-6)
