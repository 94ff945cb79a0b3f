"""What a checkpoint every minute costs a run of ResNet-50.

    python benchmarks/safety.py FOLDER_OF_IMAGES [--steps 100] [--device auto]

Trains on the folder (train/CLASS/*, val/CLASS/*) with batches of 32 at 224 pixels, and reads from the run's log how
long training waited for checkpoints and how long the thread that wrote them kept a core busy.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from pathlib import Path

import resnets
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, Flip, RandomResizedCrop
from resnets.training.recipe import Recipe
from resnets.training.run_log import read_log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    recipe = Recipe(
        name="safety",
        data=given.data,
        model=resnets.CATALOG["resnet50"],
        preprocessing=Preprocessing(resize=256, crop=224),
        augmentations=Augmentations(crop=RandomResizedCrop(), transforms=(Flip(),)),
        batch=32,
        steps=given.steps,
        evaluate_every=1000,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = resnets.train(recipe, out=Path(folder) / "run", device=given.device, checkpoint_minutes=1.0)
        events = read_log(run.folder / "log.jsonl")
        size = max(path.stat().st_size for path in (run.folder / "checkpoint").glob("*.safetensors"))
    start, end = events[0], events[-1]
    evaluation = next(event for event in events if event["event"] == "evaluation")
    cost = end["waited"] + end["writing"]
    result = {
        "date": datetime.date.today().isoformat(),
        "hardware": start["environment"]["hardware"],
        "torch": start["environment"]["torch"],
        "precision": start["environment"]["precision"],
        "images_per_second": events[-3]["images_per_second"],
        "seconds": end["seconds"],
        "evaluated": evaluation["samples"],
        "checkpoint_bytes": size,
        "waited": end["waited"],
        "writing": end["writing"],
        "share": cost / end["seconds"],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
