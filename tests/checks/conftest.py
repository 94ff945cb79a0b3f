"""No check of a test is answered from the cache of another one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_SCAN_CACHE", "off")
