"""The network of localization and its loss, against torch and torchvision line by line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

import resnets
from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.models import counts
from resnets.models.heads import FCNHead, LocalizationHead
from resnets.models.spec import Spec
from resnets.tasks.localization.loss import losses
from resnets.tasks.localization.network import Localizer
from resnets.tasks.localization.outputs import on_originals
from resnets.tasks.localization.settings import Localize
from resnets.tasks.localization.task import Localization

SPEC = Spec(depths=(1, 1), widths=(8, 12), stem_width=8, classes=5, head=LocalizationHead(grid=2, hidden=16))
PER_CLASS = replace(SPEC, head=LocalizationHead(per_class=True, grid=2, hidden=16))


def network_of(spec: Spec) -> Localizer:
    network = resnets.create(spec, seed=3)
    assert isinstance(network, Localizer)
    return network.double().eval()


def inputs(count: int = 3, height: int = 48, width: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("spec", [SPEC, PER_CLASS], ids=["one box", "per class"])
def test_logits_are_those_of_a_classifier_and_boxes_have_a_size(spec: Spec) -> None:
    network, x = network_of(spec), inputs()
    out = network(x)
    assert out.shape == (3, 5, 5)
    last = network.features(x)["C3"]
    torch.testing.assert_close(out[:, :, 0], network.fc(last.mean((2, 3))), rtol=0, atol=1e-12)
    cells = F.adaptive_avg_pool2d(last, 2).flatten(1)
    shares = network.box_head.box(network.box_head.hidden(cells).clamp(min=0)).sigmoid().view(3, -1, 4)
    expected = torchvision.ops.box_convert(shares, "cxcywh", "xyxy").expand(-1, 5, -1)
    torch.testing.assert_close(out[:, :, 1:], expected, rtol=0, atol=1e-12)
    assert (out[:, :1, 1:] == out[:, 1:, 1:]).all() == (not spec.head.per_class)  # type: ignore[union-attr]


@pytest.mark.parametrize("spec", [SPEC, PER_CLASS], ids=["one box", "per class"])
def test_counts_are_those_of_the_built_network(spec: Spec) -> None:
    network = network_of(spec)
    assert counts.parameters(spec) == sum(p.numel() for p in network.parameters())
    names = {layer.name for layer in counts.layers(spec, 48)}
    assert {name.removeprefix("backbone.").rpartition(".")[0] for name, _ in network.named_parameters()} == names


def test_new_classes_have_new_rows() -> None:
    network = network_of(PER_CLASS)
    network.reset_classifier(7)
    assert network(inputs()).shape == (3, 7, 5)
    assert network.spec.classes == 7


def test_the_loss_is_that_of_torchvision_to_the_nearest_true_box() -> None:
    g = torch.Generator().manual_seed(1)
    corners = torch.rand(4, 5, 2, generator=g) / 2
    boxes = torch.cat([corners, corners + 0.1 + torch.rand(4, 5, 2, generator=g) / 3], 2)
    outputs, labels = torch.cat([torch.randn(4, 5, 1, generator=g), boxes], 2), torch.tensor([0, 3, 4, 1])
    true = [torch.tensor([[0.1, 0.1, 0.6, 0.7]]), torch.rand(3, 4, generator=g).sort(1).values, *[boxes[0, :2]] * 2]
    found = losses(outputs, labels, true, label_smoothing=0.1)
    for row, label in enumerate(labels.tolist()):
        own = outputs[row, label, 1:]
        each = [
            F.smooth_l1_loss(own, box, reduction="sum")
            + torchvision.ops.generalized_box_iou_loss(own[None], box[None])[0]
            for box in true[row]
        ]
        assert found["box"][row].item() == pytest.approx(min(each).item(), abs=1e-6)
    expected = F.cross_entropy(outputs[:, :, 0], labels, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(found["class"], expected)


def training_batch(**more: Any) -> Batch:
    boxes = (torch.tensor([[4.0, 6, 40, 38]]), torch.tensor([[0.0, 0, 64, 48], [10, 4, 30, 40], [1, 1, 9, 9]]))
    ragged: dict[str, tuple[Tensor, ...]] = {
        "boxes": boxes,
        "labels": (torch.tensor([2]), torch.tensor([4, 4, 4])),
        "crowds": (torch.tensor([False]), torch.tensor([False, False, True])),
    }
    return Batch({"inputs": inputs(2)} | more, ragged)


def test_where_an_image_is_on_its_canvas_does_not_change_what_its_boxes_are_shares_of() -> None:
    """A canvas that shows the image in its right half, next to the image alone, whose boxes are the same shares."""
    task, batch = Localization(), training_batch()

    class Fixed(torch.nn.Module):
        def __init__(self, outputs: Tensor) -> None:
            super().__init__()
            self.outputs = outputs

        def forward(self, x: Tensor) -> Tensor:
            return self.outputs

    outputs = network_of(SPEC)(batch["inputs"])
    whole = task.loss(Fixed(outputs), batch)
    region = torch.tensor([32.0, 0, 64, 48]).expand(2, 4)
    halved = [torch.stack([32 + b[:, 0] / 2, b[:, 1], 32 + b[:, 2] / 2, b[:, 3]], 1) for b in batch.ragged["boxes"]]
    moved = Batch({**batch.dense, "regions": region}, {**batch.ragged, "boxes": tuple(halved)})
    of_half = outputs.clone()
    of_half[:, :, 1], of_half[:, :, 3] = 0.5 + outputs[:, :, 1] / 2, 0.5 + outputs[:, :, 3] / 2
    for name, value in task.loss(Fixed(of_half), moved).items():
        torch.testing.assert_close(value, whole[name])


def test_boxes_are_placed_on_originals_and_mirrored_back() -> None:
    outputs = torch.zeros(2, 3, 5)
    outputs[:, :, 1:] = torch.tensor([0.5, 0.25, 0.75, 1.2])
    batch = Batch({
        "inputs": torch.zeros(2, 3, 40, 80), "sizes": torch.tensor([[100, 300], [100, 300]]),
        "mirrored": torch.tensor([False, True]), "regions": torch.tensor([[20.0, 0, 80, 20], [0, 0, 60, 20]]),
    })  # fmt: skip
    found = on_originals(outputs, batch)[:, 0, 1:]
    assert found.tolist() == [[100, 50, 200, 100], [0, 50, 100, 100]]


def test_means_go_back_to_what_they_are_of() -> None:
    task = Localization()
    outputs = [torch.cat([torch.randn(5, 1), 100 * torch.rand(5, 4)], 1) for _ in range(3)]
    again = task.from_mean(task.to_mean(outputs))
    for before, after in zip(outputs, again, strict=True):
        torch.testing.assert_close(before[:, 0].double().softmax(0), after[:, 0].softmax(0))
        torch.testing.assert_close(before[:, 1:].double(), after[:, 1:])


def test_what_cannot_be_is_refused() -> None:
    assert Localize().model_for(resnets.Spec(depths=(1,), widths=(8,)), 4).head == LocalizationHead()
    for spec, said in (
        (Spec(depths=(1,), widths=(8,), head=FCNHead()), "Localization needs a head for a class and a box"),
        (Spec(depths=(1,), widths=(8,), dimensions=1), "Localization needs a network of images"),
    ):
        with pytest.raises(UsageError, match=said):
            Localize().model_for(spec, 4)
    with pytest.raises(UsageError, match="box_weight must be 0 or more"):
        Localize(box_weight=-1.0)
    with pytest.raises(UsageError, match="grid and hidden of 1 or more"):
        Spec(depths=(1,), widths=(8,), head=LocalizationHead(grid=0))
