"""What is in the lake, as a listing shows it: partitions, and for each the files that hold its rows.

A listing takes time, and compactions go on meanwhile: a file may be removed before the listing reaches it,
and the one that replaces it appear where the listing has been already. So whoever removes files first
writes a note of it, a new one each time (`announce_removal`), and a listing counts only if the note was
the same before and after it. Then all that was removed meanwhile was announced, and what replaces it was
published, before the listing began: it shows that, or what replaces that in turn.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from pyarrow.fs import FileSelector

from cluster.errors import ObjectMissing, StoreUnreachable
from cluster.storage import cover, layout, schemas
from cluster.storage.cover import Claim, Cover
from cluster.storage.layout import DataFile, Partition
from cluster.storage.objects import ObjectStore
from cluster.storage.parquet_files import FileAccess

ATTEMPTS = 20
"""So often a job begins again because a compaction has removed the files that it was about to read."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One partition: its files by name, and which of them to read."""

    partition: Partition
    files: dict[str, DataFile]
    cover: Cover

    @property
    def to_read(self) -> list[DataFile]:
        """The files that together hold every row once, in order of epoch and sequence."""
        return sorted((self.files[name] for name in self.cover.read), key=lambda file: file.place)


class Catalogue:
    """Lists the data files of a lake. Claims of compacted files are read once and kept."""

    def __init__(self, store: ObjectStore, archive: str) -> None:
        self._store = store
        self.archive = archive
        self._claims: dict[str, Claim] = {}

    def holdings(
        self,
        table: str,
        venue: str,
        symbol: str,
        first_date: str | None = None,
        last_date: str | None = None,
        archived: bool = False,
    ) -> list[Holding]:
        """The partitions of one symbol in one table, oldest first; `last_date` is the last of them.

        With `archived`, what was moved to the archive is among them.
        """
        where = layout.symbol_prefix(schemas.table(table).name, venue, symbol)
        where += layout.common_prefix(first_date, last_date)
        removal_key = layout.removal_key(table, venue, symbol)
        for _ in range(ATTEMPTS):
            found = [
                file
                for file in self._settled(where, removal_key, archived)
                if (first_date is None or file.partition.date >= first_date)
                and (last_date is None or file.partition.date <= last_date)
            ]
            try:
                return self._by_partition(found)
            except ObjectMissing:
                continue
        raise self.restless()

    def claims(self, holding: Holding) -> dict[str, Claim]:
        """What the compacted files of a partition stand for. Raises ObjectMissing."""
        return {name: self._claim(file) for name, file in holding.files.items() if file.compact}

    def announce_removal(self, partition: Partition, name: str) -> None:
        """Note that what the compacted file of this name replaces is about to be removed."""
        note = {"by": name, "date": partition.date, "id": uuid4().hex}
        key = layout.removal_key(partition.table, partition.venue, partition.symbol)
        self._store.put(key, json.dumps(note).encode())

    def restless(self) -> StoreUnreachable:
        """The error for a job that found its files replaced again and again."""
        return StoreUnreachable(
            f"files were replaced while they were read, {ATTEMPTS} times",
            self._store.uri,
            "let fewer compactions run at a time",
        )

    def symbols(self, tables: Sequence[str] | None = None) -> set[tuple[str, str]]:
        """Venue and symbol of all that is in the lake, archived or not; with `tables`, in one of these."""
        # The store itself says best what is wrong with it.
        next(self._store.list(f"{layout.EPOCHS}/"), None)
        # Folders alone are listed: a lake may have millions of files.
        filesystem, root = self._store.filesystem()
        named = (layout.EPOCHS, *schemas.TABLES) if tables is None else tables
        tops = [f"{top}{table}" for top in ("", self.archive) for table in named]
        try:
            venues = [one for top in tops for one in filesystem.get_file_info(_inside(f"{root}/{top}"))]
            folders = [one.path for venue in venues for one in filesystem.get_file_info(_inside(venue.path))]
        except OSError as error:
            raise StoreUnreachable(f"listing failed: {error}", self._store.uri, "try again") from error
        found = {layout.parse_symbol_folder(folder) for folder in folders}
        return {pair for pair in found if pair is not None}

    def _settled(self, where: str, removal_key: str, archived: bool) -> list[DataFile]:
        """The files whose keys begin with `where`, in a listing that misses nothing that is readable."""
        before = self._note(removal_key)
        for _ in range(ATTEMPTS):
            found = list(self._scan(where, archived))
            after = self._note(removal_key)
            if after == before:
                return found
            before = after
        raise self.restless()

    def _note(self, key: str) -> bytes:
        try:
            return self._store.get(key)
        except ObjectMissing:
            return b""

    def _scan(self, where: str, archived: bool) -> Iterator[DataFile]:
        # The archive comes last: what moves there meanwhile is seen at least once.
        for top in ("", self.archive) if archived else ("",):
            for info in self._store.list(top + where):
                file = layout.parse_data_key(info.key, info.size)
                if file is not None and file.prefix == top:
                    yield file

    def _by_partition(self, found: list[DataFile]) -> list[Holding]:
        grouped: defaultdict[Partition, dict[str, DataFile]] = defaultdict(dict)
        for file in found:
            grouped[file.partition].setdefault(file.name, file)
        return [self._hold(partition, files) for partition, files in sorted(grouped.items())]

    def _hold(self, partition: Partition, files: dict[str, DataFile]) -> Holding:
        holding = Holding(partition, files, Cover(tuple(sorted(files)), (), {}))
        # What a file replaces matters only where there are others.
        claims = self.claims(holding) if len(files) > 1 else {}
        return Holding(partition, files, cover.choose(files, claims)) if claims else holding

    def _claim(self, file: DataFile) -> Claim:
        known = self._claims.get(file.key)
        if known is None:
            opened = FileAccess(self._store).open(file)
            known = self._claims[file.key] = cover.claim_of(opened)
            opened.close()
        return known


def _inside(folder: str) -> FileSelector:
    return FileSelector(folder, allow_not_found=True)
