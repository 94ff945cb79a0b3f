"""Frozen ImageNet weights, by torchvision and scikit-learn alone: a linear probe, and the 1000-way head as it is.

    python benchmarks/photographs_probe.py DATA WEIGHTS [--fold SPLIT.jsonl.gz]

Prints one JSON object: the test accuracy of a logistic regression on the 512 features of ResNet-18, and, where the
classes are imagenette's WordNet ids, that of the head read over these classes. The regularisation of the probe is
chosen by five-fold cross-validation on the training images. DATA is a folder of train/CLASS and test/CLASS, or, with
the record of a run's fold, one whose images of all splits are divided anew.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from photographs_data import Sample, samples_of

# Imagenette's classes among those of ImageNet.
IMAGENETTE = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def network(weights: Path) -> Any:
    """torchvision's ResNet-18 with `weights`, in evaluation."""
    made = torchvision.models.resnet18()
    state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
    made.load_state_dict(state)
    return made.eval()


@torch.inference_mode()
def features_of(samples: list[Sample], weights: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """(N, 512) features and (N, 1000) logits, by torchvision's own preprocessing."""
    whole = network(weights)
    head, whole.fc = whole.fc, torch.nn.Identity()
    transform = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    features = []
    for start in range(0, len(samples), 32):
        batch = samples[start : start + 32]
        images = torch.stack([transform(Image.open(each.path).convert("RGB")) for each in batch])
        features.append(whole(images))
    found = torch.cat(features)
    return found.numpy(), head(found).numpy()


def probe(
    train: NDArray[Any], train_labels: list[str], test: NDArray[Any], test_labels: list[str]
) -> tuple[float, float]:
    """The accuracy on the test features, and the inverse regularisation that was chosen."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    ).fit(train, train_labels)
    return float(search.score(test, test_labels)), search.best_params_["logisticregression__C"]


def of_fold(samples: list[Sample], record: Path) -> list[Sample]:
    """`samples` with the splits that the record of a run has; samples that are held out as val are trained on."""
    with gzip.open(record, "rt") as file:
        splits = {name: split for split, name in map(json.loads, file)}
    by_name = {name.rpartition("/")[2]: split for name, split in splits.items()}
    if len(by_name) != len(splits):
        raise SystemExit("The images have no names of their own, by which the record could be read.")
    return [each._replace(split="test" if by_name[each.path.name] == "test" else "train") for each in samples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--fold", type=Path, help="split.jsonl.gz of a run")
    given = parser.parse_args()
    samples = samples_of(given.data)
    if given.fold is not None:
        samples = of_fold(samples, given.fold)
    features, logits = features_of(samples, given.weights)
    train, test = (np.array([each.split == split for each in samples]) for split in ("train", "test"))
    labels = np.array([each.label for each in samples])
    accuracy, chosen = probe(features[train], labels[train].tolist(), features[test], labels[test].tolist())
    found = {"accuracy": accuracy, "C": chosen, "train": int(train.sum()), "test": int(test.sum())}
    if set(labels) <= set(IMAGENETTE):
        names = sorted(set(labels))
        answers = np.array(names)[logits[test][:, [IMAGENETTE[name] for name in names]].argmax(1)]
        found["head"] = float((answers == labels[test]).mean())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
