"""The 1,000 classes of ImageNet (Russakovsky et al. 2015, 1409.0575), in the order of published networks' logits.

`imagenet_classes.txt` has a line for each: the WordNet id, and its names after tabs. The ids are those that timm ships,
the names those of torchvision's weights, and WordNet's own where a name of torchvision's has a word more to tell it
from another class ("crane bird").
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

COUNT = 1000


@cache
def imagenet_classes() -> tuple[tuple[str, ...], ...]:
    """The WordNet id and the names of each class, such as ("n01440764", "tench")."""
    lines = Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines()
    return tuple(tuple(line.split("\t")) for line in lines)


def wordnet_ids() -> tuple[str, ...]:
    """The WordNet id of each class."""
    return tuple(names[0] for names in imagenet_classes())
