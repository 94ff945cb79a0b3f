"""A map of the samples: where they lie for the network, by class, with the errors marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Cloud, Scatter

NAMED = 12  # classes that a map tells apart
LEAST = 3  # samples


def data_map(records: SampleRecords, facts: SampleFacts, classes: tuple[str, ...]) -> Scatter | None:
    """The two directions in which the features of the samples differ most (principal component analysis).

    With more classes than `NAMED`, those with the most errors are named, and the others are one cloud. None where the
    features are not known, or do not differ.

    Args:
        records: of all N samples.
    """
    features = facts.features
    if features is None or len(features) < LEAST or features.shape[1] < 2 or not np.isfinite(features).all():
        return None
    places, share = principal_components(features)
    if not share:
        return None
    label = records["label"][facts.rows]
    wrong = label != records["predicted"][facts.rows]
    named = _named(label, wrong, len(classes))
    clouds = [_cloud(classes[number], places, label == number, wrong) for number in named if (label == number).any()]
    if len(named) < len(classes):
        rest = ~np.isin(label, named)
        clouds.append(_cloud(f"{len(classes) - len(named):,} other classes", places, rest, wrong, faint=True))
    drawn = "" if len(facts.rows) == len(records["label"]) else f"{len(facts.rows):,} samples, drawn at random. "
    chosen = f" The {len(named)} classes with the most errors are named." if len(named) < len(classes) else ""
    note = (
        f"{drawn}The features that the classifier gets, in the two directions in which they differ most, which have "
        f"{share:.0%} of their variance: far points are different for the network, "
        f"near ones need not be alike.{chosen}"
    )
    return Scatter("Map of the samples", tuple(clouds), "taken for another class", note)


def principal_components(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """(N, 2) the samples in the two directions of the largest variance, and their share of all variance; 0 without any.

    The exact principal component analysis, by the covariance. (scikit-learn's is the same, and takes a second to
    import.) A direction points to where its largest weight is positive.

    Args:
        features: (N, F), finite; N and F 2 or more.
    """
    from scipy.linalg import eigh

    centered = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    covariance = centered.T @ centered
    total, count = float(np.trace(covariance)), len(covariance)
    if not total:
        return np.zeros((len(features), 2)), 0.0
    variances, directions = eigh(covariance, subset_by_index=(count - 2, count - 1))
    variances, directions = variances[::-1], directions[:, ::-1]
    largest = directions[np.abs(directions).argmax(0), (0, 1)]
    return centered @ (directions * np.sign(largest)), min(float(variances.sum()) / total, 1.0)


def _named(label: NDArray[np.int64], wrong: NDArray[np.bool_], classes: int) -> list[int]:
    """The classes that are named, in their order: all, or those with the most errors, then with the most samples."""
    if classes <= NAMED:
        return list(range(classes))
    samples, errors = np.bincount(label, minlength=classes), np.bincount(label, wrong, classes)
    return sorted(np.lexsort((-samples, -errors))[: NAMED - 1].tolist())


def _cloud(
    name: str, places: NDArray[np.float64], own: NDArray[np.bool_], wrong: NDArray[np.bool_], *, faint: bool = False
) -> Cloud:
    points, marked = ([(float(x), float(y)) for x, y in places[own & which]] for which in (~wrong, wrong))
    return Cloud(name, points, marked, faint)
