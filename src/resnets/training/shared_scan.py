"""One scan for all ranks: rank 0 reads the files, and all ranks check that they have the same ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from resnets.data.file_table import FileTables, folder_of, read_records
from resnets.data.fingerprint import contents_sha256, has_fingerprints, targets_bytes
from resnets.data.sampler import evenly_spaced
from resnets.data.scan import DatasetScan, resident_samples, scan
from resnets.modalities.base import Dataset, DatasetSplits
from resnets.modalities.reader import Reader
from resnets.training import agreement
from resnets.training.distributed import Ranks

CHECKED = 4096  # files, evenly spaced, whose size and contents ranks compare; they compare the names of all


def scan_once(
    splits: DatasetSplits,
    reader: Reader,
    *,
    keep: bool,
    statistics: bool,
    read_all: bool = False,
    tables: FileTables,
    ranks: Ranks,
) -> tuple[DatasetScan, DatasetScan]:
    """Returns the scans of the training and the test samples; rank 0 scans, and each rank reads samples for itself.

    Raises:
        UsageError: a rank cannot decode what another can.
    """
    mine: list[DatasetScan] = []

    def work() -> tuple[DatasetScan, DatasetScan]:
        train = scan(splits.train, reader, keep=keep, statistics=statistics, read_all=read_all, tables=tables)
        test = scan(splits.test, reader, keep=False, statistics=False, read_all=read_all, tables=tables)
        tables.save()
        mine.append(train)
        return replace(train, prepared=None), test

    if not ranks.is_main and keep:
        mine.append(resident_samples(splits.train, reader))
    train, test = agreement.from_rank_0(ranks, work)
    if not mine:
        return train, test
    if mine[0].prepared is not None:
        unread = sorted(mine[0].damaged)
        agreement.require_equal(ranks, {"training samples that cannot be read": unread})
    return replace(train, prepared=mine[0].prepared), test


def require_same_files(splits: DatasetSplits, ranks: Ranks) -> None:
    """Checks on every rank that all have the same samples, by all names and by size and contents of `CHECKED` files.

    Raises:
        UsageError: they differ; the message says in what, and on which ranks.
    """
    if ranks.world == 1:
        return
    facts = {
        "training samples": len(splits.train),
        "training data (fingerprint)": _fingerprint(splits.train),
        "test samples": len(splits.test),
        "test data (fingerprint)": _fingerprint(splits.test),
    }
    ranks.barrier()  # some ranks read their files faster than others
    agreement.require_equal(ranks, facts)


def _fingerprint(dataset: Dataset) -> str:
    """Returns the SHA-256 over targets, classes and all names, and the sizes and hashes of `CHECKED` files."""
    on_disk, indices = folder_of(dataset)
    if not on_disk:
        return contents_sha256(dataset, FileTables())
    digest = hashlib.sha256(targets_bytes(dataset))
    digest.update("\0".join(dataset.classes).encode(errors="surrogateescape"))
    annotated = has_fingerprints(dataset, True)
    for number in range(len(dataset)):
        digest.update(dataset.key(number) + b"\0" + (dataset.fingerprint(number) if annotated else b""))
    for files in on_disk:
        records = read_records(files, indices[evenly_spaced(len(indices), CHECKED)])
        for field in ("size", "digest", "verdict"):
            digest.update(records[field].tobytes())
    return digest.hexdigest()
