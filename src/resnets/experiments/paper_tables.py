"""Tables 2 to 6 of He et al. 2015 (arXiv 1512.03385)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resnets.experiments import base_recipes, figures, findings, measures
from resnets.experiments.experiment import TEST_ERROR, TRAIN_ERROR, TTA_ERROR, TTA_TOP5_ERROR, Experiment
from resnets.experiments.nets import Net, from_catalog
from resnets.experiments.result_keys import with_old_keys
from resnets.models.catalog import find

# Top-1 error in percent, ten crops.
_TABLE_2 = {"plain18": "27.94", "plain34": "28.54", "resnet18_a": "27.88", "resnet34_a": "25.03"}
# Top-1 and top-5 error in percent, ten crops.
_TABLE_3 = {
    "plain34": ("28.54", "10.02"),
    "resnet34_a": ("25.03", "7.76"),
    "resnet34": ("24.52", "7.46"),
    "resnet34_c": ("24.19", "7.40"),
    "resnet50_v1": ("22.85", "6.71"),
    "resnet101_v1": ("21.75", "6.05"),
    "resnet152_v1": ("21.43", "5.71"),
}
# The same, fully convolutional at several scales.
_TABLE_4 = {
    "resnet34": ("21.84", "5.71"),
    "resnet34_c": ("21.53", "5.60"),
    "resnet50_v1": ("20.74", "5.25"),
    "resnet101_v1": ("19.87", "4.60"),
    "resnet152_v1": ("19.38", "4.49"),
}
# Test error in percent, by layers.
_TABLE_6 = {"20": "8.75", "32": "7.51", "44": "7.17", "56": "6.97", "110": "6.61 ± 0.16", "1202": "7.93"}


def _with_tta_errors(table: Mapping[str, tuple[str, str]]) -> tuple[Net, ...]:
    errors = {name: with_old_keys({"tta_error": top1, "tta_top5_error": top5}) for name, (top1, top5) in table.items()}
    return from_catalog(list(table), errors)


def _plain_and_residual() -> tuple[Net, ...]:
    specs = {name: find(name) for name in ("plain18", "plain34", "resnet34_a")}
    specs["resnet18_a"] = replace(find("resnet18"), shortcut="A")  # not in the catalogue
    return tuple(Net(name, specs[name], with_old_keys({"tta_error": error})) for name, error in _TABLE_2.items())


TABLE_2_NETS = _plain_and_residual()  # figure 4 shows their training

TABLE_2 = Experiment(
    name="table2",
    title="Table 2: plain against residual on ImageNet",
    question="Does depth hurt plain nets and help residual ones? Ten-crop top-1 errors of 18 and 34 layers, option A "
    "(He et al. 2015, table 2).",
    nets=TABLE_2_NETS,
    recipe=base_recipes.imagenet,
    measure=measures.with_tta("ten-crop"),
    columns=(TTA_ERROR, TTA_TOP5_ERROR, TEST_ERROR),
    draw=figures.final_errors,
    read=findings.depth,
)
TABLE_3 = Experiment(
    name="table3",
    title="Table 3: shortcut options and deeper nets on ImageNet",
    question="Ten-crop errors (He et al. 2015, table 3): options A, B and C at 34 layers, then bottlenecks, which "
    "stride in the first 1x1 as the paper's do.",
    nets=_with_tta_errors(_TABLE_3),
    recipe=base_recipes.imagenet,
    measure=measures.with_tta("ten-crop"),
    columns=(TTA_ERROR, TTA_TOP5_ERROR, TEST_ERROR),
    draw=figures.final_errors,
)
TABLE_4 = Experiment(
    name="table4",
    title="Table 4: single models, fully convolutional, on ImageNet",
    question="Errors of whole images with shorter sides of 224, 256, 384, 480 and 640 and their mirror images, "
    "probabilities averaged (He et al. 2015, table 4).",
    nets=_with_tta_errors(_TABLE_4),
    recipe=base_recipes.imagenet,
    measure=measures.with_tta("multi-scale"),
    columns=(TTA_ERROR, TTA_TOP5_ERROR, TEST_ERROR),
    draw=figures.final_errors,
)
TABLE_5 = Experiment(
    name="table5",
    title="Table 5: an ensemble on ImageNet",
    question="The mean of six nets' probabilities, of different depths, two of them with 152 layers, fully "
    "convolutional at several scales (He et al. 2015, table 5: 3.57% top-5 on the test set). Give --seeds 2 and the "
    "nets with --models for the paper's own choice.",
    nets=_with_tta_errors(_TABLE_4),
    recipe=base_recipes.imagenet,
    measure=measures.with_tta("multi-scale"),
    columns=(TTA_ERROR, TTA_TOP5_ERROR),
    draw=figures.final_errors,
    ensemble="multi-scale",
)
TABLE_6 = Experiment(
    name="table6",
    title="Table 6: CIFAR-10 from 20 to 1202 layers",
    question="Test errors after 64,000 steps (He et al. 2015, table 6). For 110 layers the paper's best is 6.43.",
    nets=from_catalog(
        [f"cifar_resnet{layers}" for layers in _TABLE_6],
        {f"cifar_resnet{layers}": {"final_test_error": error} for layers, error in _TABLE_6.items()},
    ),
    recipe=base_recipes.cifar,
    measure=measures.curves,
    columns=(TEST_ERROR, TRAIN_ERROR),
    draw=figures.errors_by_depth,
    read=findings.depth,
)
