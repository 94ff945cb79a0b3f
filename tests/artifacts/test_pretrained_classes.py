"""Which rows of a head are kept for classes that weights know by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models._meta import _IMAGENET_CATEGORIES
from torchvision.models.segmentation import FCN_ResNet50_Weights

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.pretrained import set_initial_weights
from resnets.artifacts.pretrained_classes import imagenet_rows, rows_by_name
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.imagenet_classes import imagenet_classes, wordnet_ids
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.models.voc_classes import VOC_CLASSES

SMALL = Spec(depths=(1, 1), widths=(8, 16), stem_width=8, classes=5)


def test_the_classes_of_imagenet_are_torchvisions_in_their_order() -> None:
    assert [names[1] for names in imagenet_classes()] == list(_IMAGENET_CATEGORIES)
    assert len(set(wordnet_ids())) == 1000
    assert list(wordnet_ids()) == sorted(wordnet_ids())  # as ImageFolder reads ImageNet's folders


def test_timm_has_the_same_ids() -> None:
    info = pytest.importorskip("timm.data").ImageNetInfo()
    assert wordnet_ids() == tuple(info.label_names())


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("n01440764", 0),
        ("n01440764_tench", 0),
        ("Tench", 0),
        ("great_white-shark", 2),
        ("English springer", 217),
        ("ENGLISH_SPRINGER", 217),
        ("crane bird", 134),
        ("crane", None),
        ("Maillot", None),
        ("cardigan", None),
        ("shark", None),
        ("n99999999", None),
    ],
)
def test_imagenet_is_known_by_id_and_name(name: str, row: int | None) -> None:
    assert imagenet_rows(["nothing of the kind", name]) == ({} if row is None else {1: row})


def test_one_row_is_for_one_class() -> None:
    assert imagenet_rows(["tench", "n01440764", "goldfish"]) == {2: 1}


@pytest.mark.parametrize(
    ("own", "theirs", "rows"),
    [
        (["b", "a"], ["a", "b", "c"], {0: 1, 1: 0}),
        (["Red Fox", "red_fox_2"], ["red-fox", "wolf"], {0: 0}),
        (["A", "a"], ["a", "A"], {0: 1, 1: 0}),
        (["A", "a"], ["a"], {1: 0}),
        (["fox"], ["Fox", "FOX"], {}),
        (["STRASSE"], ["straße"], {0: 0}),
        (["Tench", "crane"], ["n01440764", "n02012849"], {0: 0}),
        (["n01440764_tench", "n02012849"], ["crane", "tench"], {0: 1}),
    ],
)
def test_classes_of_a_model_file_are_known_by_name(own: list[str], theirs: list[str], rows: dict[int, int]) -> None:
    assert rows_by_name(own, theirs) == rows


@pytest.mark.parametrize("classes", [("dog", "new", "Cat "), ("w", "x", "y", "dog", "z")])
def test_weight_and_bias_of_known_classes_are_kept(classes: tuple[str, ...], tmp_path: Path) -> None:
    source, path = create(SMALL, seed=1), tmp_path / "theirs.safetensors"
    torch.nn.init.normal_(source.fc.bias)
    names = ("ant", "bee", "cat", "dog", "elk")
    model_file.save(path, source.state_dict(), ModelCard(spec=SMALL, classes=names, preprocessing=Preprocessing()))
    network = create(Spec(**{**vars(SMALL), "classes": len(classes)}), seed=2)
    before = network.fc.weight.detach().clone(), network.fc.bias.detach().clone()
    notes = set_initial_weights(network, path, classes=classes).notes
    for row, name in enumerate(classes):
        known = {"dog": 3, "Cat ": 2}.get(name)
        weight, bias = (
            (before[0][row], before[1][row]) if known is None else (source.fc.weight[known], source.fc.bias[known])
        )
        assert torch.equal(network.fc.weight[row], weight)
        assert torch.equal(network.fc.bias[row], bias)
    kept = [name for name in classes if name in ("dog", "Cat ")]
    assert len([note for note in notes if note.startswith(("fc.weight", "fc.bias"))]) == 2
    assert notes[-1] == (
        f"fc keeps the rows of {len(kept)} of {len(classes)} classes, which the weights know: {', '.join(kept)}; the "
        "others start new."
    )


def test_a_head_of_as_many_other_classes_is_left_out_and_one_of_the_same_is_not(tmp_path: Path) -> None:
    source, path = create(SMALL, seed=1), tmp_path / "theirs.safetensors"
    model_file.save(
        path, source.state_dict(), ModelCard(spec=SMALL, classes=tuple("abcde"), preprocessing=Preprocessing())
    )
    network = create(SMALL, seed=2)
    new = network.fc.weight.detach().clone()
    notes = set_initial_weights(network, path, classes=tuple("vwxyz")).notes
    assert torch.equal(network.fc.weight, new)
    assert notes == (
        "fc.weight (5, 16) was skipped: its classes are others.",
        "fc.bias (5,) was skipped: its classes are others.",
        "fc starts new: the weights know none of the 5 classes by name.",
    )
    assert set_initial_weights(network, path, classes=tuple("abcde")).notes == ()
    assert torch.equal(network.fc.weight, source.fc.weight)
    set_initial_weights(network, path, classes=tuple("edcba"))
    assert torch.equal(network.fc.weight, source.fc.weight.flip(0))


def test_the_classes_of_voc_are_torchvisions_in_their_order() -> None:
    theirs = FCN_ResNet50_Weights.DEFAULT.meta["categories"]
    assert tuple(name.strip("_") for name in theirs) == VOC_CLASSES
