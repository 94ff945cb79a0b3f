"""Old names of modules, tried with the tables of a small package; and those of `resnets`, each by each."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.old_modules import MOVED, NAMES, OldModules

FILES = {
    "__init__.py": "",
    "kernel/__init__.py": "",
    "kernel/config.py": "limit = 3\ndef encode(): return 'encoded'\n",
    "kernel/base.py": "class Dataset: pass\nclass DatasetSplits: pass\n_private = 1\n",
    "orders/__init__.py": "",
    "orders/resume.py": "from toy.orders.train import train, Run\ndef resume(): return 'resumed'\n",
    "orders/train.py": "class Run: pass\ndef train(): return 'trained'\n",
    "experiments/__init__.py": "about = 'experiments'\n",
    "experiments/process_pool.py": "def run(): return 'run'\n",
    "data/__init__.py": "",
    "data/memory.py": "class StepMemory: pass\n",
    "data/plan.py": "class Plan: pass\n",
    "data/folder.py": "import toy.data.plan\nhere = True\n",
}
TOY_MOVED = {
    "frozen": "kernel.config",
    "data.sources": "kernel.base",
    "api": "orders.*",
    "lab": "experiments",
    "lab.pool": "experiments.process_pool",
    "data.folder": "data.not_made data.*",
}
TOY_NAMES = {"data.sources": {"Source": "Dataset", "Dataset": "DatasetSplits"}, "data.memory": {"Memory": "StepMemory"}}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs lines of Python in which the package `toy` can be imported; returns their names and warnings."""
    for name, text in FILES.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [OldModules("toy", TOY_MOVED, TOY_NAMES), *sys.meta_path])

    def run(text: str) -> tuple[dict[str, Any], list[str]]:
        found: dict[str, Any] = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(compile(text, "user.py", "exec"), found)
        assert all(each.category is DeprecationWarning and each.filename == "user.py" for each in caught)
        end = "; the old name goes in the next version."
        assert all(str(each.message).endswith(end) for each in caught)
        return found, [str(each.message).removesuffix(end) for each in caught]

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


def test_a_module_that_moved_is_imported_by_its_old_name(toy: Any) -> None:
    found, told = toy("import toy.frozen\nfrom toy.frozen import encode, limit\nfrom toy import frozen")
    assert told == ["toy.frozen is now toy.kernel.config"]
    new = importlib.import_module("toy.kernel.config")
    assert found["encode"] is new.encode
    assert found["frozen"].limit == found["limit"] == 3
    assert {"encode", "limit"} <= set(dir(found["frozen"]))


def test_an_old_name_of_a_class_means_what_it_meant_in_that_module(toy: Any) -> None:
    found, told = toy("from toy.data.sources import Dataset, DatasetSplits, Source")
    new = importlib.import_module("toy.kernel.base")
    assert found["Source"] is new.Dataset
    assert found["Dataset"] is found["DatasetSplits"] is new.DatasetSplits
    assert sorted(told) == [
        "toy.data.sources is now toy.kernel.base",
        "toy.data.sources.Dataset is now toy.kernel.base.DatasetSplits",
        "toy.data.sources.Source is now toy.kernel.base.Dataset",
    ]


def test_a_module_that_was_cut_gives_each_name_from_where_it_is_defined(toy: Any) -> None:
    found, told = toy("from toy.api import Run, resume, train")
    assert (found["train"](), found["resume"]()) == ("trained", "resumed")
    assert sorted(told) == [
        "toy.api is now toy.orders",
        "toy.api.Run is now toy.orders.train.Run",
        "toy.api.resume is now toy.orders.resume.resume",
        "toy.api.train is now toy.orders.train.train",
    ]


def test_a_package_that_moved_has_its_modules(toy: Any) -> None:
    found, told = toy("import toy.lab\nimport toy.lab.pool\nfrom toy.lab.pool import run")
    assert (found["run"](), found["toy"].lab.about) == ("run", "experiments")
    assert told == ["toy.lab is now toy.experiments", "toy.lab.pool is now toy.experiments.process_pool"]


def test_everything_is_imported_at_once(toy: Any) -> None:
    found, _ = toy("from toy.data.sources import *")
    assert {"Source", "Dataset", "DatasetSplits"} <= found.keys()
    assert "_private" not in found


def test_a_module_that_stayed_answers_for_what_it_lost(toy: Any) -> None:
    found, told = toy("from toy.data.memory import Memory, StepMemory\nfrom toy.data.folder import Plan, here")
    assert found["Memory"] is found["StepMemory"]
    assert found["Plan"] is importlib.import_module("toy.data.plan").Plan
    assert told == [
        "toy.data.memory.Memory is now toy.data.memory.StepMemory",
        "toy.data.folder.Plan is now toy.data.plan.Plan",
    ]


def test_new_names_warn_of_nothing(toy: Any) -> None:
    text = "import toy.kernel.config\nfrom toy.data.memory import StepMemory\nfrom toy.orders.train import train"
    assert toy(text)[1] == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("import toy.unheard", ModuleNotFoundError, "No module named 'toy.unheard'"),
        ("import toy.lab.unheard", ModuleNotFoundError, "No module named 'toy.lab.unheard'"),
        ("from toy.frozen import unheard", ImportError, "cannot import name 'unheard' from 'toy.frozen'"),
        ("import toy.frozen\ntoy.frozen.unheard", AttributeError, "module 'toy.frozen' has no attribute 'unheard'"),
        ("from toy.data.sources import _private", ImportError, "_private"),
        ("from toy.data.memory import Memories", ImportError, "Memories"),
        ("from toy.api import unheard", ImportError, "unheard"),
    ],
)
def test_what_never_was_is_missing_as_ever(text: str, error: type[Exception], message: str, toy: Any) -> None:
    with pytest.raises(error, match=message):
        toy(text)


def test_nothing_is_loaded_when_resnets_is_imported() -> None:
    code = (
        "import sys, resnets, resnets.core.old_modules as old; old.install(); "
        "print(sorted(n for n in sys.modules if n.startswith('resnets') or n in ('torch', 'numpy', 'pkgutil')))"
    )
    source = str(Path(resnets.__file__).parents[1])  # -S: without what other packages load at every start
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    loaded = ["resnets", "resnets.core", "resnets.core.old_modules", "resnets.version"]
    assert done.stdout.strip() == str(loaded)


HAD = {module: names for module, *names in map(str.split, (Path(__file__).parent / "names_0_2.txt").open())}
# What no caller can do without, for it is the name of another type, or a detail of one module.
GONE: dict[str, set[str]] = {
    "api": {"Device"},
    "artifacts.model_file": {"TASK"},  # there are several
    "lab.figures": {"is_plain", "layers_of"},
    "models.surgery": {"CLASSIFIER"},  # it depends on the network
    "nn.layers": {"broadcast"},  # a line of the random layers
}


@pytest.mark.parametrize("old", HAD)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_public_name_of_version_0_2_is_found(old: str) -> None:
    module = importlib.import_module(f"resnets.{old}")
    assert {name for name in HAD[old] if not hasattr(module, name)} <= GONE.get(old, set())


def test_the_tables_have_only_what_version_0_2_had() -> None:
    assert {old for old in MOVED if old not in HAD} <= {"lab"}
    assert {(old, name) for old, table in NAMES.items() for name in table if name not in HAD[old]} == set()


def test_an_old_module_is_an_attribute_of_the_package_as_it_was() -> None:
    check = "import warnings; warnings.simplefilter('ignore'); import resnets; print(resnets.errors.UsageError)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "<class 'resnets.core.errors.UsageError'>", done.stderr
