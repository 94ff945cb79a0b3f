"""A linear probe: logistic regression on the features of a network, for the layer of logits to begin with.

With the features x of N samples, centred and divided by their standard deviation over all features alike, their
classes y, the weight v of each sample, and the layer's present weights W0, the new ones W and biases b minimise

    1/(sum v) sum -v log softmax(W x + b)[y] + lambda/2 ||W - W0||^2

which has one minimum but for a constant added to all biases. lambda is chosen by cross-validation: of those whose loss
is not clearly above the lowest, the largest, as glmnet does (Friedman et al. 2010, section 2.5, by another margin).
W0 = 0 is the usual regression; rows of W0 that are of the same classes already keep what they know where the samples
say little.

NumPy and SciPy, in float64: the same arrays give the same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LAMBDAS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # those that are tried, falling
MARGIN = 1.05  # the loss that is not clearly above the lowest, over it
DEFAULT = 0.1  # where no class has two samples
FOLDS = 5
FEW = 2000  # samples; of more, one fold in place of all is scored
# Of L-BFGS: the largest derivative at the end; likewise while lambda is chosen; and the iterations.
TOLERANCE, ROUGH, MOST_ITERATIONS = 1e-6, 1e-4, 500
SMALL = 2**26  # multiply-adds of a product that takes less time than threads need to wait for one another


class Validation(NamedTuple):
    """What cross-validation says.

    Args:
        strength: the first lambda whose loss on the rows that were held out is at most `MARGIN` times the lowest.
        loss: the lowest in the mean.
        accuracy: the share of these rows that are answered rightly with that lambda.
        rows: (N,) bool, which were held out.
    """

    strength: float
    loss: float
    accuracy: float
    rows: NDArray[np.bool_]


class Fitted(NamedTuple):
    """A layer that was fitted, in float64.

    Args:
        weight: (K, D), for the features as they are.
        bias: (K,).
        strength: the lambda that was chosen.
        validation: by which it was chosen; None where one was given, or no class has two samples.
    """

    weight: Floats
    bias: Floats
    strength: float
    validation: Validation | None


def fit_head(
    features: NDArray[Any],
    targets: NDArray[Any],
    weight0: NDArray[Any],
    bias0: NDArray[Any],
    *,
    samples: NDArray[np.int64] | None = None,
    class_weights: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
) -> Fitted:
    """Fits a linear layer to features.

    Args:
        features: (N, D).
        targets: (N,) the class of each sample, from 0 to K - 1.
        weight0: (K, D) what the weights are drawn to; 0 for classes of which nothing is known.
        bias0: (K,) the biases to begin with; those of classes without a sample stay.
        samples: (N,) the sample that each row is a view of; views of one are held out together. By default its own.
        class_weights: (K,) the weight of the samples of each class; by default 1.
        lambdas: of which one is chosen, falling, by the mean loss on samples that were held out, in stratified 5-fold
            cross-validation (of more than `FEW` rows, on a fifth); a single one is taken as it is.
    """
    from threadpoolctl import threadpool_limits

    x, y = np.asarray(features, np.float64), np.asarray(targets, np.int64)
    mean = x.mean(0)
    deviation = float(np.sqrt(x.var(0).mean())) or 1.0
    x = (x - mean) / deviation
    start, bias = np.asarray(weight0, np.float64), np.asarray(bias0, np.float64)
    bias = bias + start @ mean
    start = start * deviation
    # What is learnt, W - W0, is a sum of samples: where they are fewer than features, in their coordinates.
    basis = np.linalg.svd(x, full_matrices=False)[2] if len(x) < x.shape[1] else np.eye(x.shape[1])
    of_class = np.ones(len(bias)) if class_weights is None else np.asarray(class_weights, np.float64)
    problem = _Problem(x @ basis.T if len(x) < x.shape[1] else x, x @ start.T, y, of_class[y])
    fold_of = _folds(y, np.arange(len(y)) if samples is None else samples)
    everything = np.ones(len(y), bool)
    change = np.zeros((len(bias), problem.x.shape[1]))
    # NumPy and SciPy have threads of their own, which take turns here, each spinning while the other's compute.
    with threadpool_limits(1 if problem.x.size * len(bias) < SMALL else None, user_api="blas"):
        validation = _cross_validated(problem, bias, lambdas, fold_of) if len(lambdas) > 1 else None
        chosen = lambdas[0] if len(lambdas) == 1 else validation.strength if validation else DEFAULT
        for strength in (*(each for each in lambdas if each > chosen), chosen):  # each begins where the last one ended
            change, bias = problem.fit(everything, change, bias, strength, TOLERANCE if strength == chosen else ROUGH)
    weight = (start + change @ basis) / deviation
    return Fitted(weight, bias - weight @ mean, chosen, validation)


def recognized(
    features: NDArray[Any], targets: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]
) -> dict[int, int]:
    """The classes that a layer of logits over other classes knows, whatever it calls them: for each, the row that more
    than half of its samples, and at least two, are answered with, where that is so of no second class.

    Args:
        features: (N, D).
        targets: (N,) the class of each sample.
        weight, bias: (rows, D) and (rows,) of the layer.
    """
    mostly = {}
    for label in np.unique(targets).tolist():
        answers = (features[targets == label] @ weight.T + bias).argmax(1)
        row, count = Counter(answers.tolist()).most_common(1)[0]
        if count >= 2 and 2 * count > len(answers):
            mostly[label] = row
    classes_of = Counter(mostly.values())
    return {label: row for label, row in mostly.items() if classes_of[row] == 1}


class _Problem:
    """The samples as a regression sees them.

    Args:
        x: (N, D) centred and scaled features.
        offset: (N, K) the logits that the weights to begin with give them, without biases.
        y: (N,) classes.
        v: (N,) weights, 0 or more.
    """

    def __init__(self, x: Floats, offset: Floats, y: NDArray[np.int64], v: Floats) -> None:
        self.x = x
        self.offset = offset
        self.y = y
        self.v = v

    def fit(
        self, rows: NDArray[np.bool_], change: Floats, bias: Floats, strength: float, tolerance: float
    ) -> tuple[Floats, Floats]:
        """Returns the change of the weights (K, D) and the biases (K,) of the minimum over the samples of `rows`.

        Args:
            change, bias: to begin with.
        """
        from scipy.optimize import minimize

        x, offset, y, v = self.x[rows], self.offset[rows], self.y[rows], self.v[rows]
        (classes, size), number = change.shape, np.arange(len(y))
        present = np.isin(np.arange(classes), y[v > 0])
        total = float(v.sum()) or 1.0

        def objective(parameters: Floats) -> tuple[float, Floats]:
            weights, biases = parameters[:-classes].reshape(classes, size), parameters[-classes:]
            log_probabilities = _log_softmax(offset + x @ weights.T + biases)
            loss = -(v * log_probabilities[number, y]).sum() / total + strength / 2 * float((weights * weights).sum())
            gradient = np.exp(log_probabilities)
            gradient[number, y] -= 1
            gradient *= v[:, None]
            gradient /= total
            of_biases = gradient.sum(0) * present
            return loss, np.concatenate([(gradient.T @ x + strength * weights).reshape(-1), of_biases])

        found = minimize(
            objective,
            np.concatenate([change.reshape(-1), bias]),
            jac=True,
            method="L-BFGS-B",
            options={"gtol": tolerance, "ftol": 0.0, "maxiter": MOST_ITERATIONS, "maxcor": 20},
        ).x
        return found[:-classes].reshape(classes, size), found[-classes:]

    def score(self, rows: NDArray[np.bool_], change: Floats, bias: Floats) -> tuple[float, int]:
        """Returns the summed cross-entropy of the samples of `rows`, each times its weight, and how many are answered
        rightly."""
        log_probabilities = _log_softmax(self.offset[rows] + self.x[rows] @ change.T + bias)
        loss = -float((self.v[rows] * log_probabilities[np.arange(int(rows.sum())), self.y[rows]]).sum())
        return loss, int((log_probabilities.argmax(1) == self.y[rows]).sum())


def _cross_validated(
    problem: _Problem, bias0: Floats, lambdas: Sequence[float], fold_of: NDArray[np.int64]
) -> Validation | None:
    losses, right = np.zeros(len(lambdas)), np.zeros(len(lambdas))
    rows = (fold_of >= 0) & (fold_of < (FOLDS if len(problem.y) <= FEW else 1))
    if not rows.any():
        return None
    for fold in np.unique(fold_of[rows]):
        held_out = fold_of == fold
        change, bias = np.zeros((len(bias0), problem.x.shape[1])), bias0
        for place, strength in enumerate(lambdas):
            change, bias = problem.fit(~held_out, change, bias, strength, ROUGH)
            loss, correct = problem.score(held_out, change, bias)
            losses[place] += loss
            right[place] += correct
    chosen, weights = int(np.argmax(losses <= MARGIN * losses.min())), float(problem.v[rows].sum())
    return Validation(lambdas[chosen], float(losses.min() / (weights or 1.0)), float(right[chosen] / rows.sum()), rows)


def _folds(y: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the fold that holds each row out, such that none holds out all of a class; -1 for a class's only sample."""
    folds = np.full(len(y), -1)
    first = 0
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        distinct, place = np.unique(samples[members], return_inverse=True)
        if len(distinct) > 1:
            folds[members] = (first + place) % FOLDS
            first += len(distinct)  # so that small classes do not all lie in the first folds
    return folds


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result
