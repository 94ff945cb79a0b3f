"""Modules, classes and functions under their names of version 0.2, for one version, with a DeprecationWarning.

`import resnets.data.views` gives a module whose attributes are those of the modules that have its contents now. A
module that stayed, but whose classes were renamed or moved to a neighbour, is still asked for the old names. Only the
tables are read when `resnets` is imported; what they name is imported when somebody asks for an old name.

To be deleted, with `install()` in `resnets/__init__.py`, in the version after.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any, cast

# By an old module, or one that stayed and lost some of its contents: where those are now, tried in this order.
# "PACKAGE.*" is every module of it that defines the name itself.
MOVED: Mapping[str, str] = {
    "api": "commands.* artifacts.create artifacts.model",
    "console": "core.console",
    "cores": "core.workers",
    "devices": "core.devices",
    "draws": "core.rng",
    "errors": "core.errors",
    "files": "core.files",
    "frozen": "core.config",
    "preprocessing": "modalities.image.preprocessing",
    "signatures": "core.signatures",
    "sizes": "core.units",
    "typed": "core.typed",
    "artifacts.foreign": "artifacts.pretrained",
    "artifacts.model": "artifacts.calibration",
    "artifacts.names": "artifacts.runtime_names",
    "data.ahead": "data.prefetch",
    "data.augment": "modalities.image.transforms.functions_0_2 modalities.image.transforms.normalize",
    "data.batches": "data.loader data.sampler data.decoding modalities.image.transforms.normalize",
    "data.catalog": "modalities.catalog modalities.cache",
    "data.cifar": "modalities.image.datasets.cifar",
    "data.decode_memory": "modalities.image.read.decode_memory",
    "data.digits": "modalities.image.datasets.digits",
    "data.folder": "modalities.image.datasets.folder",
    "data.headers": "modalities.image.read.headers",
    "data.image_formats": "modalities.image.read.formats",
    "data.jpeg": "modalities.image.read.jpeg",
    "data.jpeg_header": "modalities.image.read.jpeg_header",
    "data.listing": "modalities.listing",
    "data.names": "modalities.file_names",
    "data.orientation": "modalities.image.read.orientation",
    "data.pictures": "modalities.image.read.pillow modalities.image.transforms.resize",
    "data.remarks": "modalities.image.remarks",
    "data.scan": "data.functions_0_2",
    "data.sources": (
        "modalities.base modalities.image.datasets.in_memory modalities.stratify modalities.file_names data.sampler"
    ),
    "data.transparency": "modalities.image.read.transparency",
    "data.views": "modalities.image.transforms modalities.image.preprocessing",
    "evaluation.charts": "reporting.charts tasks.sections",
    "evaluation.judge": "evaluation.predictor modalities.image.tta",
    "evaluation.report": "reporting.report reporting.* tasks.classification.report tasks.classification.wilson",
    "evaluation.score": "evaluation.scoring evaluation.functions_0_2",
    "lab": "experiments",
    "lab.benchmark": "experiments.benchmark experiments.*",
    "lab.experiment": "experiments.experiment experiments.nets",
    "lab.experiments": "experiments.catalog experiments.findings experiments.base_recipes experiments.experiment",
    "lab.figures": "experiments.figures",
    "lab.measures": "experiments.measures",
    "lab.page": "experiments.page",
    "lab.pool": "experiments.process_pool",
    "lab.reproduce": "experiments.reproduce",
    "lab.trial": "experiments.trial",
    "nn.recompute": "nn.checkpointing",
    "tasks.classification": "tasks.classification.*",
    "tasks.task": "tasks.base",
    "training.board": "training.trackers.tensorboard",
    "training.captured": "training.cuda_graph",
    "training.ema": "training.averages",
    "training.job": "training.runner training.prepare training.*",
    "training.keeping": "training.callbacks training.*",
    "training.loop": "training.*",
    "training.observers": "training.subscribers",
    "training.ranks": "training.distributed",
    "training.run_folder": "training.*",
    "training.synchronized": "training.sync_batch_norm",
    "training.unfused": "training.unfused_optimizers",
}
# By a module of version 0.2: the names in it that are others now.
NAMES: Mapping[str, Mapping[str, str]] = {
    "artifacts.model": {"Picture": "ImageInput"},
    "data.ahead": {"ahead": "prefetch"},
    "data.batches": {
        "BATCHES_AHEAD": "PREFETCHED_BATCHES",
        "Frames": "DecodedSamples",
        "Order": "EpochSampler",
        "PICTURES_A_TASK": "SAMPLES_A_TASK",
    },
    "data.folder": {"FolderSource": "FolderDataset"},
    "data.pictures": {"open_picture": "open_image"},
    "data.scan": {"resident_pixels": "resident_samples"},
    "data.sources": {
        "Dataset": "DatasetSplits",
        "PixelSource": "InMemoryDataset",
        "Source": "Dataset",
        "normalized": "normalized_name",
    },
    "data.views": {"Growth": "ProgressiveResize", "View": "Transform", "Views": "Augmentations"},
    "evaluation.charts": {"Line": "Curve"},
    "evaluation.report": {"Card": "ModelCard", "THUMBNAIL": "SMALL"},
    "evaluation.judge": {
        "CENTRAL": "OF_THE_CENTER",
        "Judge": "Predictor",
        "SIDES": "SHORTER_SIDES",
        "Single": "NetworkPredictor",
        "look": "tta_crops",
    },
    "lab.experiments": {
        "TEST": "TEST_ERROR",
        "TRAIN": "TRAIN_ERROR",
        "VIEW": "TTA_ERROR",
        "VIEW_TOP5": "TTA_TOP5_ERROR",
        "chosen": "choose_nets",
        "on_cifar": "cifar",
        "on_imagenet": "imagenet",
        "read_depth": "depth",
        "read_ratio": "mean_of",
        "read_responses": "responses",
    },
    "lab.measures": {"PICTURES": "IMAGES", "shattered": "shattered_gradients", "viewed": "with_tta"},
    "lab.pool": {"Tell": "Log"},
    "lab.reproduce": {"Tell": "Log"},
    "models.memory": {"Memory": "StepMemory", "Numbers": "BytesPerElement"},
    "nn.recompute": {"recompute": "checkpoint_blocks"},
    "nn.stochastic": {"deal": "set_rng_keys"},
    "preprocessing": {"TestView": "TestTimeAugmentation"},
    "tasks.classification": {"confusion": "confusion_matrix"},
    "tasks.task": {"Records": "SampleRecords"},
    "training.board": {"Board": "TensorBoardTracker"},
    "training.captured": {"Captured": "CUDAGraphStep", "cuda_graph": "capture"},
    "training.checkpoint": {"Memory": "TrainState", "encode_memory": "encode_state"},
    "training.job": {"Data": "PreparedData"},
    "training.keeping": {"Watch": "CheckpointCallback", "stopping": "stop_signals"},
    "training.loop": {"Keeper": "Callback", "LookAhead": "Lookahead", "group_size": "bn_batch_size"},
    "training.memory": {"group_within_limit": "bn_batch_within_limit", "numbers_of": "bytes_per_element"},
    "training.observers": {"Observers": "Subscribers"},
    "training.optimizers": {"Group": "ParameterGroup"},
    "training.ranks": {"joined": "process_group", "leads": "is_main"},
    "training.run_folder": {"Keeping": "CheckpointPolicy", "Listener": "Subscriber"},
}


class OldModules:
    """A finder of `sys.meta_path` for the old names in one package.

    Args:
        package: whose modules the tables name.
        moved: as `MOVED`.
        names: as `NAMES`.
    """

    def __init__(self, package: str, moved: Mapping[str, str], names: Mapping[str, Mapping[str, str]]) -> None:
        self.package = package
        self.moved = moved
        self.names = names
        self._known = {f"{package}.{old}" for old in (*moved, *names)}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to load `fullname`, where it is an old name or a module with old names in it."""
        if fullname not in self._known:
            return None
        old = fullname.removeprefix(f"{self.package}.")
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((s for finder in others if (s := finder.find_spec(fullname, path, target)) is not None), None)
        if spec is None and old in self.moved:
            is_package = any(other.startswith(f"{old}.") for other in self.moved)
            return ModuleSpec(fullname, cast(Any, _Redirection(self, old)), is_package=is_package)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = _then(loader.exec_module, lambda module: self._ask_for_old_names(module, old))
        return spec

    def _ask_for_old_names(self, module: ModuleType, old: str) -> None:
        """Makes `module`, which stayed, answer for the old names too."""
        if "__getattr__" in vars(module):
            return

        def resolve(name: str) -> Any:
            inside = vars(module).get("__path__")
            if inside is not None and PathFinder.find_spec(f"{module.__name__}.{name}", inside) is not None:
                raise AttributeError(name)  # a module of this package, which the import system loads
            return self.resolve(old, name, stays=True)

        vars(module)["__getattr__"] = resolve

    def resolve(self, old: str, name: str, *, stays: bool = False) -> Any:
        """What `name` of the module `old` is now, with a DeprecationWarning where that is no simple move.

        Args:
            stays: whether the module is still there, and is where a name of no other place is looked for.

        Raises:
            AttributeError: it is nowhere any more.
        """
        new = self.names.get(old, {}).get(name, name)
        places = [*([old] if stays and new != name else []), *self.moved.get(old, "").split()]
        if not name.startswith("_"):
            for module in self._modules(places, new):
                found = vars(module).get(new, module)
                if isinstance(found, ModuleType):  # not there, or a module called like its function
                    continue
                if stays or new != name or len(places) > 1 or "*" in places[0]:
                    _warn(f"{self.package}.{old}.{name} is now {module.__name__}.{new}", stacklevel=4)
                return found
        raise AttributeError(f"module '{self.package}.{old}' has no attribute {name!r}")

    def public_names(self, old: str) -> list[str]:
        """What `from ... import *` gives of the module `old`."""
        places = self.moved[old].split()
        found = {name for module in self._modules(places) for name in vars(module) if not name.startswith("_")}
        return sorted(found | set(self.names.get(old, {})))

    def _modules(self, places: Sequence[str], name: str | None = None) -> Iterator[ModuleType]:
        """The modules at `places`; of whole packages those that define `name`."""
        for place in places:
            package = place.removesuffix(".*")
            try:
                module = importlib.import_module(f"{self.package}.{package}")
            except ModuleNotFoundError as error:
                if error.name is None or not error.name.startswith(f"{self.package}."):
                    raise
                continue  # has no part in answering whether there is such a name
            yield module
            if package == place:
                continue
            import pkgutil

            inside = [each.name for each in pkgutil.iter_modules(module.__path__)]
            for each in sorted(inside, key=lambda each: (each != name, each)):
                found = importlib.import_module(f"{module.__name__}.{each}")
                if name is None or _defines(found, name):
                    yield found


class _Redirection:
    """Loads the module that stands for an old one."""

    def __init__(self, finder: OldModules, old: str) -> None:
        self.finder = finder
        self.old = old

    def create_module(self, spec: ModuleSpec) -> None:
        """None: a plain module."""

    def exec_module(self, module: ModuleType) -> None:
        finder, old = self.finder, self.old
        places = " and ".join(f"{finder.package}.{place.removesuffix('.*')}" for place in finder.moved[old].split())
        _warn(f"{module.__name__} is now {places}", stacklevel=3)

        def resolve(name: str) -> Any:
            return finder.public_names(old) if name == "__all__" else finder.resolve(old, name)

        vars(module).update(__getattr__=resolve, __dir__=lambda: finder.public_names(old))


def _defines(module: ModuleType, name: str) -> bool:
    """Whether `name` is in `module`, and not for being imported there."""
    value = vars(module).get(name)
    own = not isinstance(value, type | FunctionType) or value.__module__ == module.__name__
    return name in vars(module) and own


def _then(first: Callable[[ModuleType], None], second: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def both(module: ModuleType) -> None:
        first(module)
        second(module)

    return both


def _warn(message: str, stacklevel: int) -> None:
    warnings.warn(f"{message}; the old name goes in the next version.", DeprecationWarning, stacklevel=stacklevel)


def install() -> None:
    """Makes the old names of `resnets` importable."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldModules("resnets", MOVED, NAMES))
