"""What came after He et al. 2015: gradient flow, lesions, shattered gradients, and depth at a fixed budget."""

from __future__ import annotations

from resnets.experiments import base_recipes, figures, findings, measures
from resnets.experiments.experiment import TEST_ERROR, TRAIN_ERROR, Column, Experiment
from resnets.experiments.nets import cifar_net, from_catalog, without_norm

GRADIENT_FLOW = Experiment(
    name="gradient-flow",
    title="Gradient flow: does the gradient reach the first layers?",
    question="Norm of the gradient by each convolution's weight over the norm of the weight, on one batch, before and "
    "during training; plain and residual, with batch norm and without. Vanishing gradients are what He et al. 2015 "
    "rule out as the cause of degradation (section 4.1): with batch norm, plain nets' gradients are healthy.",
    nets=(
        *from_catalog(["cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56"]),
        without_norm(cifar_net(20, shortcut=False)),
        without_norm(cifar_net(20, shortcut=True)),
    ),
    recipe=base_recipes.cifar,
    measure=measures.gradient_flow,
    columns=(
        Column("first_over_last", "first / last layer, before training", percent=False),
        TEST_ERROR,
        TRAIN_ERROR,
    ),
    draw=figures.gradients,
    read=findings.mean_of(
        "first_over_last", "Relative gradient of the first convolution over the last, before training"
    ),
    snapshots=8,
)
LESION = Experiment(
    name="lesion",
    title="Lesions: taking blocks out of trained nets",
    question="Test error with one block removed, and with blocks swapped (Veit et al. 2016): a residual net hardly "
    "notices, a plain net is lost.",
    nets=from_catalog(["cifar_plain20", "cifar_resnet20", "cifar_resnet56", "cifar_resnet110"]),
    recipe=base_recipes.cifar,
    measure=measures.lesion,
    columns=(
        Column("whole_error", "whole, %"),
        Column("mean_removed_error", "one block out, mean, %"),
        Column("worst_removed_error", "worst, %"),
    ),
    draw=figures.lesions,
    read=findings.mean_of("mean_removed_error", "Mean test error (as a fraction of 1) with one block taken out"),
)
SHATTERED_GRADIENTS = Experiment(
    name="shattered-gradients",
    title="Shattered gradients: do nearby inputs have related gradients?",
    question="Autocorrelation of the gradient along a line of inputs before training (Balduzzi et al. 2017): in deep "
    "plain nets it resembles white noise, in residual nets it stays related.",
    nets=tuple(cifar_net(layers, shortcut=shortcut) for shortcut in (False, True) for layers in (8, 20, 56)),
    recipe=base_recipes.cifar,
    measure=measures.shattered_gradients,
    columns=(
        Column("lag1", "correlation at 1 step", percent=False),
        Column("lag8", "at 8 steps", percent=False),
    ),
    draw=figures.autocorrelations,
    read=findings.mean_of("lag1", "Correlation one step apart"),
    trained=False,
)
DEPTH_SCALING = Experiment(
    name="depth-scaling",
    title="Depth at a fixed budget",
    question="Error against depth when every net has the same number of steps.",
    nets=tuple(
        cifar_net(layers, shortcut=shortcut) for shortcut in (False, True) for layers in (8, 14, 20, 32, 44, 56)
    ),
    recipe=base_recipes.cifar,
    measure=measures.curves,
    columns=(TRAIN_ERROR, TEST_ERROR),
    draw=figures.errors_by_depth,
    read=findings.depth,
)
