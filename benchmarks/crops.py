"""Whether a trained model sees the loader's crops as it sees Pillow's.

    python benchmarks/crops.py RUN [--split train] [--crops 10000] [--out FOLDER]

RUN was trained on a folder of JPEGs. The same random crops of its images are made twice, by the loader (torchvision's
decoder, torch's resizing) and by Pillow alone, and the model classifies both.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
from pathlib import Path
from unittest import mock

import torch

from resnets.artifacts.model import load
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.transforms import Augmentations, RandomResizedCrop
from resnets.modalities.inputs import open_reader
from resnets.training import environment

BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", help="a folder, instead of the one that it was trained on")
    parser.add_argument("--split", choices=["train", "val", "test"], default="train")
    parser.add_argument("--crops", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    model = load(given.run)
    splits = open_dataset(given.data or str(model.card.recipe["data"]))
    dataset = splits.split(given.split)
    loader = Batches(
        dataset,
        sampler=EpochSampler(len(dataset), BATCH, 0),
        reader=open_reader(model.card.preprocessing, Augmentations(crop=RandomResizedCrop())),
        seed=0,
        bn_batch=BATCH,
        device=torch.device("cpu"),
        workers=2,
    )
    steps = math.ceil(given.crops / BATCH)

    def answers() -> tuple[torch.Tensor, torch.Tensor]:
        found, labels = [], []
        with torch.inference_mode():
            for batch in loader.between(0, steps):
                found.append(model.network(batch["inputs"]).argmax(1))
                labels.append(batch["labels"])
        return torch.cat(found), torch.cat(labels)

    ours, labels = answers()
    with mock.patch.object(jpeg, "decode", return_value=None):
        pillows, _ = answers()
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": environment.choose("cpu").hardware,
        "crops": len(labels),
        "accuracy_with_the_loader": float((ours == labels).double().mean()),
        "accuracy_with_pillow": float((pillows == labels).double().mean()),
        "standard_error": float((pillows == labels).double().std() / len(labels) ** 0.5),
        "answers_that_differ": int((ours != pillows).sum()),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{results['date']}-crops.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
