"""The folder in which downloads, and what is slow to find, are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloads are kept: $RESNETS_CACHE, else resnets in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnets"
    return Path(os.environ.get("RESNETS_CACHE") or default)
