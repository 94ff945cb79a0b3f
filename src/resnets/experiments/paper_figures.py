"""Figures 4, 6 and 7 of He et al. 2015 (arXiv 1512.03385)."""

from __future__ import annotations

from resnets.experiments import base_recipes, figures, findings, measures
from resnets.experiments.experiment import TEST_ERROR, TRAIN_ERROR, Column, Experiment
from resnets.experiments.nets import from_catalog
from resnets.experiments.paper_tables import TABLE_2_NETS

FIGURE_4 = Experiment(
    name="figure4",
    title="Figure 4: training on ImageNet, plain and residual",
    question="Errors over time of 18 and 34 layers (He et al. 2015, figure 4). The paper's training error is that of "
    "augmented images while training; ours is measured in evaluation, without augmentation.",
    nets=TABLE_2_NETS,
    recipe=base_recipes.imagenet_with_training_errors,
    measure=measures.curves,
    columns=(TEST_ERROR, TRAIN_ERROR),
    draw=figures.errors_over_time,
    read=findings.depth,
)
FIGURE_6 = Experiment(
    name="figure6",
    title="Figure 6: deeper plain nets train worse, deeper residual nets do not",
    question="Training and test error over time of plain and residual nets (He et al. 2015, figure 6). Plain nets get "
    "worse in training error as they deepen, so it is not overfitting; residual nets get better. Training errors are "
    "measured in evaluation, without augmentation.",
    nets=from_catalog(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56"]),
    recipe=base_recipes.cifar,
    measure=measures.curves,
    columns=(TRAIN_ERROR, TEST_ERROR),
    draw=figures.errors_over_time,
    read=findings.depth,
)
FIGURE_7 = Experiment(
    name="figure7",
    title="Figure 7: responses of layers",
    question="Standard deviations of the outputs of 3x3 layers behind batch norm, before ReLU and addition, on the "
    "test images (He et al. 2015, figure 7); in residual nets that is the strength of the residual function. "
    "results.json has the learnt scale beside each. The paper finds that residual nets respond less than plain ones, "
    "and deeper residual nets less still.",
    nets=from_catalog(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56", "cifar_resnet110"]),
    recipe=base_recipes.cifar,
    measure=measures.responses,
    columns=(Column("mean_std", "mean response", percent=False), TEST_ERROR, TRAIN_ERROR),
    draw=figures.responses,
    read=findings.responses,
)
