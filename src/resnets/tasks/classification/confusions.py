"""Which classes are taken for which: a table of counts for few classes, an image of it and its worst parts for many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.metrics import ConfusionMatrix, confusion_matrix
from resnets.tasks.sections import Gallery, GalleryItem, HeatMap, Matrix, Section, Span, Table

MATRIX_CLASSES = 30  # with more classes, the counts are shown as an image
PAIRS = 30  # most frequent confusions that are listed
GROUPS, GROUP_CLASSES = 8, 12  # groups of classes that are framed, and the most classes of one
SHOWN_PAIRS, PAIR_IMAGES = 4, 6  # pairs of classes whose errors are shown, and the most images of each
ORDERED_OPTIMALLY = 500  # classes; the order that puts like ones closest takes seconds for 1,000


def confusions(records: SampleRecords, classes: tuple[str, ...]) -> tuple[Section, ...]:
    """The confusion matrix; with more than `MATRIX_CLASSES` classes, its image, with groups and pairs listed."""
    counts = confusion_matrix(records, len(classes))
    if len(classes) <= MATRIX_CLASSES:
        rows = tuple(tuple(row) for row in counts.tolist())
        return (Matrix("Confusion matrix", classes, rows, "Rows are true classes, columns predicted ones."),)
    return (*_heat_map(counts, classes), _pairs(counts, classes))


def confused_pairs(records: SampleRecords, ids: NDArray[np.int64], classes: tuple[str, ...]) -> Gallery | None:
    """Images of the pairs of classes that are most often taken for each other, each at least twice, the surest errors
    first; None where there are none.

    Args:
        records: of `metrics.evaluate_batch`, (N,) each.
        ids: (N,) number in the dataset of each sample of `records`.
    """
    counts = confusion_matrix(records, len(classes))
    either_way = np.triu(counts + counts.T, 1)
    order = np.argsort(-either_way, axis=None, kind="stable")[:SHOWN_PAIRS]
    true, predicted = records["label"], records["predicted"]
    items, said = [], []
    for one, other in zip(*np.unravel_index(order, either_way.shape), strict=True):
        if either_way[one, other] < 2:
            break
        rows = np.flatnonzero(((true == one) & (predicted == other)) | ((true == other) & (predicted == one)))
        surest = rows[np.argsort(-records["confidence"][rows], kind="stable")][:PAIR_IMAGES]
        items += [GalleryItem(int(ids[row]), error_caption(records, int(row), classes)) for row in surest]
        said.append(f"{_listed([classes[one]])} and {_listed([classes[other]])} ({either_way[one, other]:,})")
    if not items:
        return None
    note = f"Pairs of classes by the number of errors between them, either way: {'; '.join(said)}."
    return Gallery("Classes most often taken for each other", tuple(items), note)


def error_caption(records: SampleRecords, row: int, classes: tuple[str, ...]) -> tuple[Span, ...]:
    """What is said of an error: its class, the class that was predicted, and the confidence."""
    true, predicted = (classes[int(records[key][row])] for key in ("label", "predicted"))
    confidence = f" ({float(records['confidence'][row]):.0%})"
    return Span(true, "strong"), Span(" taken for "), Span(predicted, "strong"), Span(confidence)


def _heat_map(counts: ConfusionMatrix, classes: tuple[str, ...]) -> tuple[Section, ...]:
    order, groups = confused_groups(counts)
    errors = counts.sum() - np.trace(counts)
    note = (
        "Rows are true classes, columns predicted ones. Green is right; the redder, the more often is one class taken "
        "for the other. Classes that are taken for each other stand side by side."
    )
    title, names = "Confusion matrix", tuple(classes[i] for i in order)
    shown = HeatMap(title, names, counts[np.ix_(order, order)], groups, note)
    if not groups:
        return (shown,)
    rows = []
    for number, (start, size) in enumerate(groups, start=1):
        own = order[start : start + size]
        inside = counts[np.ix_(own, own)]
        found = inside.sum() - np.trace(inside)
        rows.append((_listed([classes[i] for i in own]), str(number), f"{found:,}", f"{found / errors:.1%}"))
    columns = ("classes", "frame", "errors", "of all errors")
    return shown, Table("Classes that are taken for each other", columns, tuple(rows))


def confused_groups(counts: ConfusionMatrix) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """An order of the classes that puts those side by side that are taken for each other, and groups of them in it.

    The order is that of the leaves of an average-linkage clustering by the share of the samples of two classes that is
    taken for the other class. Groups are those of its branches, of 2 to `GROUP_CLASSES` classes, that have the most
    errors within them a class (as the densest part of a graph has the most edges a vertex), each without the classes of
    those before.

    Returns:
        (classes,) the numbers of the classes in this order; of each group, the place in it of the first class, and how
        many there are.
    """
    from scipy.cluster.hierarchy import linkage, to_tree
    from scipy.spatial.distance import squareform

    support, classes = np.maximum(counts.sum(1), 1), len(counts)
    share = counts / support[:, None]
    likeness = np.triu(share + share.T, 1)
    distance = 1 - (likeness + likeness.T) / max(likeness.max(), 1e-12)
    np.fill_diagonal(distance, 0)
    linked = linkage(squareform(distance, checks=False), "average", optimal_ordering=classes <= ORDERED_OPTIMALLY)
    _, branches = to_tree(linked, rd=True)
    order = np.array(branches[-1].pre_order(), np.int64)
    place = np.empty(classes, np.int64)
    place[order] = np.arange(classes)
    found = []
    for branch in branches[classes:]:
        if branch.count <= GROUP_CLASSES:
            own = np.array(branch.pre_order())
            inside = counts[np.ix_(own, own)]
            errors = int(inside.sum() - np.trace(inside))
            found.append((errors / branch.count, int(place[own].min()), branch.count))
    groups: list[tuple[int, int]] = []
    taken = np.zeros(classes, bool)
    for density, start, size in sorted(found, key=lambda each: (-each[0], each[1:])):
        if density and len(groups) < GROUPS and not taken[start : start + size].any():
            taken[start : start + size] = True
            groups.append((start, size))
    return order, tuple(groups)


def _pairs(counts: ConfusionMatrix, classes: tuple[str, ...]) -> Table:
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
    frequent = tuple((classes[i], classes[j], f"{errors[i, j]:,}") for i, j in pairs if errors[i, j])
    return Table("Most frequent confusions", ("true", "taken for", "times"), frequent, texts=2)


def _listed(names: list[str]) -> str:
    """Names after one another, each within marks that keep its direction of writing to itself."""
    return ", ".join(f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" for name in names)
