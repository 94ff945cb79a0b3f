"""Names of classes from different places: a file system, a table, a model file.

The same name may differ in Unicode's form, as macOS decomposes the names of folders (NFD) where others compose them
(NFC), and in blanks at its ends. Such names are one where that is unambiguous; what has a name keeps it as it is.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from resnets.core.errors import DataError


def plain_name(name: str) -> str:
    """`name` composed (NFC), without blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip()


def same_names(names: Sequence[str], known: Sequence[str], where: str, *, merged: bool = False) -> dict[str, str]:
    """Which of `known` each of `names` is: itself, or the one that is the same but for form and blanks.

    Names that are not known are left out.

    Args:
        where: what has `names`, for messages.
        merged: whether several of `names` may be one, as the labels of samples may.

    Raises:
        DataError: one of `names` could be several, or, unless they are `merged`, two of them would be one.
    """
    own = set(known)
    found = {name: name for name in names if name in own}
    if len(found) == len(names):
        return found
    alike = defaultdict(list)
    for name in known:
        alike[plain_name(name)].append(name)
    for name in names:
        options = alike[plain_name(name)]
        if name in found or not options:
            continue
        taken = None if merged else next((other for other, one in found.items() if one in options), None)
        if len(options) > 1 or taken is not None:
            others = options if taken is None else [taken]
            raise DataError(
                f"{where} has the class {_shown(name)}, which is {' or '.join(map(_shown, others))} but for blanks or "
                "the form of its letters (NFC, NFD). Rename one of them, so that it is clear which is meant."
            )
        found[name] = options[0]
    return found


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Those of `names` that are the same but for form and blanks, together."""
    groups = defaultdict(list)
    for name in names:
        groups[plain_name(name)].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def note_on_alike(names: Iterable[str], where: str) -> list[str]:
    """A note on classes that look the same, a line for each group."""
    return [
        f"{where} has {len(group)} classes that look the same, {' and '.join(map(_shown, group))}: they differ in "
        "blanks or in the form of their letters (NFC, NFD). If they are one, put them together."
        for group in alike(names)
    ]


def _shown(name: str) -> str:
    """`name` with what cannot be seen written out."""
    return ascii(name)
