"""What is in the lake, as a listing shows it: partitions, and for each the files that hold its rows.

A listing takes time, and compactions go on meanwhile: a file may be replaced behind the place that the
listing has reached by one that appears before it. So a listing counts only once another one, begun after
it, shows the same compacted files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

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
        for _ in range(ATTEMPTS):
            found = [
                file
                for file in self._settled(where, archived)
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

    def restless(self) -> StoreUnreachable:
        """The error for a job that found its files replaced again and again."""
        return StoreUnreachable(
            f"files were replaced while they were read, {ATTEMPTS} times",
            self._store.uri,
            "let fewer compactions run at a time",
        )

    def symbols(self) -> set[tuple[str, str]]:
        """Venue and symbol of all that is in the lake, archived or not."""
        # The store itself says best what is wrong with it.
        next(self._store.list(f"{layout.EPOCHS}/"), None)
        # Folders alone are listed: a lake may have millions of files.
        filesystem, root = self._store.filesystem()
        tops = [f"{top}{table}" for top in ("", self.archive) for table in (layout.EPOCHS, *schemas.TABLES)]
        try:
            venues = [one for top in tops for one in filesystem.get_file_info(_inside(f"{root}/{top}"))]
            folders = [one.path for venue in venues for one in filesystem.get_file_info(_inside(venue.path))]
        except OSError as error:
            raise StoreUnreachable(f"listing failed: {error}", self._store.uri, "try again") from error
        found = {layout.parse_symbol_folder(folder) for folder in folders}
        return {pair for pair in found if pair is not None}

    def _settled(self, where: str, archived: bool) -> list[DataFile]:
        before = list(self._scan(where, archived))
        for _ in range(ATTEMPTS):
            after = list(self._scan(where, archived))
            if {file.key for file in before if file.compact} == {file.key for file in after if file.compact}:
                return before
            before = after
        raise self.restless()

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
