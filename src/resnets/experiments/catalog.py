"""The experiments, a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from resnets.core.errors import UsageError, lookup
from resnets.experiments import figures, measures
from resnets.experiments.experiment import Column, Experiment, Net, Outcome
from resnets.modalities.image.augmentations import Augmentations, PaddedCrop
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.catalog import find as model
from resnets.recipes import paper
from resnets.training.recipe import Recipe

DIGITS_EPOCHS = 24.0

TEST = Column("final_test_error", "test error, %")
TRAIN = Column("final_train_error", "training error, %")
VIEW = Column("view_error", "top-1 error, %")
VIEW_TOP5 = Column("view_top5_error", "top-5 error, %")


def on_cifar(data: str | None) -> Recipe:
    """`paper/cifar` on `data`, CIFAR-10 by default, with training errors.

    Digits are few, small and grey: no mirror images, crops of a pixel, batches of 64, a lower rate and
    `DIGITS_EPOCHS`. That was chosen on digits/validation, before any result on the test digits.
    """
    recipe = replace(paper.cifar(), data=data or "cifar10", score_training=True)
    if data is None or not data.startswith("digits"):
        return recipe
    return replace(
        recipe,
        preprocessing=Preprocessing(resize=8, crop=8),
        augmentations=Augmentations(transforms=(PaddedCrop(padding=1),)),
        batch=64,
        steps=None,
        epochs=DIGITS_EPOCHS,
        optimizer=replace(recipe.optimizer, lr=0.02),
    )


def on_imagenet(data: str | None) -> Recipe:
    """`paper/imagenet` on the folder `data`."""
    if data is None:
        raise UsageError("This experiment is about ImageNet, which cannot be downloaded freely: give --data FOLDER.")
    return replace(paper.imagenet(), data=data)


def _with_training_errors(data: str | None) -> Recipe:
    return replace(on_imagenet(data), score_training=True)


def _named(names: Sequence[str], figures_of_paper: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Net, ...]:
    return tuple(
        Net(
            name,
            model(name),
            (figures_of_paper or {}).get(name, {}),
            paper.WARMUP_110 if model(name).depths >= (18, 18, 18) and name.startswith("cifar_resnet") else (),
        )
        for name in names
    )


def _depth(layers: int, *, shortcut: bool) -> Net:
    name = f"cifar_{'resnet' if shortcut else 'plain'}{layers}"
    spec = replace(model("cifar_resnet20"), depths=((layers - 2) // 6,) * 3)
    return Net(name, spec if shortcut else replace(spec, shortcut="none"))


def _without_norm(net: Net) -> Net:
    return replace(net, name=f"{net.name}_no_norm", spec=replace(net.spec, norm="none"))


# --- what the results say ------------------------------------------------------------------------------------------


def read_depth(outcomes: Sequence[Outcome]) -> list[str]:
    """How the deepest of each kind does against the shallowest, in training and in test error."""
    sentences = []
    for kind, part in (
        ("plain", [o for o in outcomes if figures.is_plain(o)]),
        ("residual", [o for o in outcomes if not figures.is_plain(o)]),
    ):
        for name, key in (("training", "final_train_error"), ("test", "final_test_error")):
            known = sorted((o for o in part if o.values(key)), key=figures.layers_of)
            if len(known) > 1:
                first, last = (100 * sum(o.values(key)) / len(o.values(key)) for o in (known[0], known[-1]))
                sentences.append(
                    f"{kind}: {last - first:+.2f} points of {name} error from {figures.layers_of(known[0])} to "
                    f"{figures.layers_of(known[-1])} layers ({first:.2f}% to {last:.2f}%)."
                )
    return sentences


def read_responses(outcomes: Sequence[Outcome]) -> list[str]:
    """Whether the paper's two orderings are found."""
    means = {
        o.net.name: sum(o.values("mean_std")) / len(o.values("mean_std")) for o in outcomes if o.values("mean_std")
    }
    listed = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    sentences = [f"Mean standard deviation over layers: {listed}."]
    plain = [means[o.net.name] for o in outcomes if o.net.name in means and figures.is_plain(o)]
    residual = sorted((o for o in outcomes if o.net.name in means and not figures.is_plain(o)), key=figures.layers_of)
    values = [means[o.net.name] for o in residual]
    if plain and values:
        found = "is" if max(values) < min(plain) else "is not"
        sentences.append(f"The paper's first ordering (residual nets respond less than plain ones) {found} found here.")
    if len(values) > 1:
        found = "is" if values == sorted(values, reverse=True) else "is not"
        sentences.append(f"Its second (deeper residual nets respond less, layer by layer) {found} found here.")
    return sentences


def read_ratio(key: str, meaning: str) -> Callable[[Sequence[Outcome]], list[str]]:
    """A sentence that lists a figure of each net."""

    def read(outcomes: Sequence[Outcome]) -> list[str]:
        listed = [f"{o.net.name} {sum(o.values(key)) / len(o.values(key)):.3g}" for o in outcomes if o.values(key)]
        failed = [o.net.name for o in outcomes if any("failed" in run for run in o.runs)]
        sentences = [f"{meaning}: {', '.join(listed)}."] if listed else []
        if failed:
            sentences.append(f"Training ended with a number that is not finite: {', '.join(failed)}.")
        return sentences

    return read


# --- the list ------------------------------------------------------------------------------------------------------

_TABLE_6 = {"20": "8.75", "32": "7.51", "44": "7.17", "56": "6.97", "110": "6.61 ± 0.16", "1202": "7.93"}
_TABLE_3 = {
    "plain34": ("28.54", "10.02"),
    "resnet34_a": ("25.03", "7.76"),
    "resnet34": ("24.52", "7.46"),
    "resnet34_c": ("24.19", "7.40"),
    "resnet50_v1": ("22.85", "6.71"),
    "resnet101_v1": ("21.75", "6.05"),
    "resnet152_v1": ("21.43", "5.71"),
}
_TABLE_4 = {
    "resnet34": ("21.84", "5.71"),
    "resnet34_c": ("21.53", "5.60"),
    "resnet50_v1": ("20.74", "5.25"),
    "resnet101_v1": ("19.87", "4.60"),
    "resnet152_v1": ("19.38", "4.49"),
}


def _views(table: Mapping[str, tuple[str, str]]) -> tuple[Net, ...]:
    return _named(list(table), {name: {"view_error": a, "view_top5_error": b} for name, (a, b) in table.items()})


_RESNET18_A = Net("resnet18_a", replace(model("resnet18"), shortcut="A"), {"view_error": "27.88"})
_TABLE_2 = (
    Net("plain18", model("plain18"), {"view_error": "27.94"}),
    Net("plain34", model("plain34"), {"view_error": "28.54"}),
    _RESNET18_A,
    Net("resnet34_a", model("resnet34_a"), {"view_error": "25.03"}),
)

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        Experiment(
            name="table2",
            title="Table 2: plain against residual on ImageNet",
            question="Does depth hurt plain nets and help residual ones? Ten-crop top-1 errors of 18 and 34 layers, "
            "option A (He et al. 2015, table 2).",
            nets=_TABLE_2,
            recipe=on_imagenet,
            measure=measures.viewed("ten-crop"),
            columns=(VIEW, VIEW_TOP5, TEST),
            draw=figures.final_errors,
            read=read_depth,
        ),
        Experiment(
            name="figure4",
            title="Figure 4: training on ImageNet, plain and residual",
            question="Errors over time of 18 and 34 layers (He et al. 2015, figure 4). The paper's training error is "
            "that of augmented images while training; ours is measured in evaluation, without "
            "augmentation.",
            nets=_TABLE_2,
            recipe=_with_training_errors,
            measure=measures.curves,
            columns=(TEST, TRAIN),
            draw=figures.errors_over_time,
            read=read_depth,
        ),
        Experiment(
            name="table3",
            title="Table 3: shortcut options and deeper nets on ImageNet",
            question="Ten-crop errors (He et al. 2015, table 3): options A, B and C at 34 layers, then bottlenecks, "
            "which stride in the first 1x1 as the paper's do.",
            nets=_views(_TABLE_3),
            recipe=on_imagenet,
            measure=measures.viewed("ten-crop"),
            columns=(VIEW, VIEW_TOP5, TEST),
            draw=figures.final_errors,
        ),
        Experiment(
            name="table4",
            title="Table 4: single models, fully convolutional, on ImageNet",
            question="Errors of whole images with shorter sides of 224, 256, 384, 480 and 640 and their mirror "
            "images, probabilities averaged (He et al. 2015, table 4).",
            nets=_views(_TABLE_4),
            recipe=on_imagenet,
            measure=measures.viewed("multi-scale"),
            columns=(VIEW, VIEW_TOP5, TEST),
            draw=figures.final_errors,
        ),
        Experiment(
            name="table5",
            title="Table 5: an ensemble on ImageNet",
            question="The mean of six nets' probabilities, of different depths, two of them with 152 layers, fully "
            "convolutional at several scales (He et al. 2015, table 5: 3.57% top-5 on the test set). Give "
            "--seeds 2 and the nets with --models for the paper's own choice.",
            nets=_views(_TABLE_4),
            recipe=on_imagenet,
            measure=measures.viewed("multi-scale"),
            columns=(VIEW, VIEW_TOP5),
            draw=figures.final_errors,
            ensemble="multi-scale",
        ),
        Experiment(
            name="table6",
            title="Table 6: CIFAR-10 from 20 to 1202 layers",
            question="Test errors after 64,000 steps (He et al. 2015, table 6). For 110 layers the paper's best is "
            "6.43.",
            nets=_named(
                [f"cifar_resnet{n}" for n in _TABLE_6],
                {f"cifar_resnet{n}": {"final_test_error": error} for n, error in _TABLE_6.items()},
            ),
            recipe=on_cifar,
            measure=measures.curves,
            columns=(TEST, TRAIN),
            draw=figures.errors_by_depth,
            read=read_depth,
        ),
        Experiment(
            name="figure6",
            title="Figure 6: deeper plain nets train worse, deeper residual nets do not",
            question="Training and test error over time of plain and residual nets (He et al. 2015, figure 6). Plain "
            "nets get worse in training error as they deepen, so it is not overfitting; residual nets get "
            "better. Training errors are measured in evaluation, without augmentation.",
            nets=_named(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56"]),
            recipe=on_cifar,
            measure=measures.curves,
            columns=(TRAIN, TEST),
            draw=figures.errors_over_time,
            read=read_depth,
        ),
        Experiment(
            name="figure7",
            title="Figure 7: responses of layers",
            question="Standard deviations of the outputs of 3x3 layers behind batch norm, before ReLU and addition, "
            "on the test images (He et al. 2015, figure 7); in residual nets that is the strength of the "
            "residual function. results.json has the learnt scale beside each. The paper finds that residual"
            " nets respond less than plain ones, and deeper residual nets less still.",
            nets=_named(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56", "cifar_resnet110"]),
            recipe=on_cifar,
            measure=measures.responses,
            columns=(Column("mean_std", "mean response", percent=False), TEST, TRAIN),
            draw=figures.responses,
            read=read_responses,
        ),
        Experiment(
            name="gradient-flow",
            title="Gradient flow: does the gradient reach the first layers?",
            question="Norm of the gradient by each convolution's weight over the norm of the weight, on one batch, "
            "before and during training; plain and residual, with batch norm and without. Vanishing "
            "gradients are what He et al. 2015 rule out as the cause of degradation (section 4.1): with "
            "batch norm, plain nets' gradients are healthy.",
            nets=(
                *_named(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56"]),
                _without_norm(_depth(20, shortcut=False)),
                _without_norm(_depth(20, shortcut=True)),
            ),
            recipe=on_cifar,
            measure=measures.gradient_flow,
            columns=(Column("first_over_last", "first / last layer, before training", percent=False), TEST, TRAIN),
            draw=figures.gradients,
            read=read_ratio(
                "first_over_last", "Relative gradient of the first convolution over the last, before training"
            ),
            snapshots=8,
        ),
        Experiment(
            name="lesion",
            title="Lesions: taking blocks out of trained nets",
            question="Test error with one block removed, and with blocks swapped (Veit et al. 2016): a residual net "
            "hardly notices, a plain net is lost.",
            nets=_named(["cifar_plain20", "cifar_resnet20", "cifar_resnet56", "cifar_resnet110"]),
            recipe=on_cifar,
            measure=measures.lesion,
            columns=(
                Column("whole_error", "whole, %"),
                Column("mean_removed_error", "one block out, mean, %"),
                Column("worst_removed_error", "worst, %"),
            ),
            draw=figures.lesions,
            read=read_ratio("mean_removed_error", "Mean test error (as a share) with one block taken out"),
        ),
        Experiment(
            name="shattered-gradients",
            title="Shattered gradients: do nearby inputs have related gradients?",
            question="Autocorrelation of the gradient along a line of inputs before training (Balduzzi et al. 2017): "
            "in deep plain nets it resembles white noise, in residual nets it stays related.",
            nets=tuple(_depth(n, shortcut=s) for s in (False, True) for n in (8, 20, 56)),
            recipe=on_cifar,
            measure=measures.shattered,
            columns=(
                Column("lag1", "correlation at 1 step", percent=False),
                Column("lag8", "at 8 steps", percent=False),
            ),
            draw=figures.autocorrelations,
            read=read_ratio("lag1", "Correlation one step apart"),
            trained=False,
        ),
        Experiment(
            name="depth-scaling",
            title="Depth at a fixed budget",
            question="Error against depth when every net has the same number of steps.",
            nets=tuple(_depth(n, shortcut=s) for s in (False, True) for n in (8, 14, 20, 32, 44, 56)),
            recipe=on_cifar,
            measure=measures.curves,
            columns=(TRAIN, TEST),
            draw=figures.errors_by_depth,
            read=read_depth,
        ),
    )
}


def find(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return lookup(EXPERIMENTS, name, "experiment")


def chosen(experiment: Experiment, models: str | None) -> tuple[Net, ...]:
    """The experiment's nets, or those that `models` lists by name, with commas; any of the catalogue's may be named.

    Raises:
        UsageError: an unknown name.
    """
    if models is None:
        return experiment.nets
    own = {net.name: net for net in experiment.nets}
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models needs names, with commas between them.")
    return tuple(own[name] if name in own else _named([name])[0] for name in names)
