"""The events of a run: dictionaries, ready for JSON, that a run emits to its log and to its subscribers.

Every event has a key "event" that names its kind:

- "start": recipe, steps, epochs, samples, split, parameters, environment, world, notes
- "step": step, epoch, loss, lr, images_per_second
- "evaluation": step, epoch and the metrics of the evaluated split
- "damaged": step, path and reason of a file that could not be read
- "extension": where a finished run is trained longer; see `training.extension`
- "warning": a message
- "end": seconds, and what checkpoints cost of them
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
Subscriber = Callable[[Event], None]
