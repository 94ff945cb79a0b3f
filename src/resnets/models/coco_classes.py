"""The classes of COCO (Lin et al. 2014, 1405.0312) by their ids, for which detectors of COCO have a row each.

`coco_classes.txt` has a line for each id from 1 to 90; it is empty for the ten ids of which there are no boxes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

COUNT = 90


@cache
def coco_classes() -> tuple[str, ...]:
    """The name of each id from 1 on, such as "person"; "" where there is none."""
    return tuple(Path(__file__).with_suffix(".txt").read_text("utf-8").split("\n")[:COUNT])
