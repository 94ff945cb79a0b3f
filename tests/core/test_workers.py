"""Cores that a process may use: its affinity and the quota of its control groups, which only say less together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resnets.core import workers


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, workers.MAX_WORKERS),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {}, workers.MAX_WORKERS),
        # A limit of the service above counts, and so does the own one.
        ("0::/a.slice/b.service\n", {"a.slice/cpu.max": "300000 100000", "a.slice/b.service/cpu.max": "max 100000"}, 3),
        ("0::/a.slice/b.service\n", {"a.slice/b.service/cpu.max": "100000 100000", "cpu.max": "max 1"}, 1),
        # A container sees the host's path, and its own limits at the root.
        ("0::/docker/0123\n", {"cpu.max": "400000 100000"}, 4),
        # Version 1, with its own names and mounts, also beside version 2.
        (
            "4:memory:/x\n1:cpu,cpuacct:/docker/0123\n0::/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "500000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, workers.MAX_WORKERS),
        ("2:cpuacct,cpu:/\n", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("nonsense\n1:cpu\n\n", {"cpu.max": "1 0", "cpu/cpu.cfs_quota_us": "?"}, workers.MAX_WORKERS),
    ],
)
def test_the_smallest_quota_counts(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "cgroup", files)
    (tmp_path / "groups").write_text(groups)
    quotas = workers._quotas
    monkeypatch.setattr(workers, "_quotas", lambda: quotas(root, tmp_path / "groups"))
    monkeypatch.setattr(workers, "_affinity", lambda: 1000)
    assert workers.usable_cores() == expected
    monkeypatch.setattr(workers, "_affinity", lambda: 1)
    assert workers.usable_cores() == 1


def test_where_a_system_has_no_control_groups_the_affinity_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = workers._quotas
    monkeypatch.setattr(workers, "_quotas", lambda: quotas(tmp_path, tmp_path / "absent"))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    assert workers.usable_cores() == 7
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 4, 5}, raising=False)
    assert workers.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers.usable_cores() == 1


@pytest.mark.parametrize(("ranks", "expected"), [("1", 6), ("4", 1), ("3", 2), ("100", 1), ("x", 6), ("0", 6)])
def test_the_ranks_of_a_machine_share_its_cores(ranks: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert workers.default_workers() == expected
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert workers.default_workers() == 6


def test_no_default_number_of_threads_is_found_in_another_way() -> None:
    package = Path(workers.__file__).parents[1]
    asking = [p.name for p in package.rglob("*.py") if "cpu_count(" in p.read_text() or "sched_getaff" in p.read_text()]
    assert sorted(asking) == ["environment.py", "workers.py"]  # the second to name the hardware
