"""Which of the files of a partition hold its rows, while compactions come and go.

A compacted file replaces others: it names them, those that these had named, and so on. All that it names
without being a compacted file itself are its leaves; its content is that of its leaves. Nobody locks
anything, so several compacted files may share leaves, and a leaf may be there beside a file that replaces
it. Two rules keep every row readable exactly once:

- Reading: take compacted files that share no leaf, and the leaves that none of them has, such that every
  leaf known is covered once. `choose` finds such a cover, with as few leaves on their own as it can.
- Deleting: what a compacted file replaces may be deleted on its behalf only once it `may_delete`: the
  file has been published, and a listing that began after that shows no other compacted file that shares
  a leaf with it, but for those it outranks. Of two that share leaves and neither outranks the other, at
  least one was published before the other one's owner made its listing; so at most one of them deletes.

A compacted file outranks another when it has all leaves of the other and more; with equal leaves the one
of the higher generation does, then the one with the greater name. Nothing is ever deleted but files that
a file which stays covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.storage.layout import is_compact
from cluster.storage.parquet_files import LakeFile


@dataclass(frozen=True, slots=True)
class Claim:
    """What one compacted file stands for."""

    name: str
    replaces: frozenset[str]
    """Names of all files that it replaces, compacted ones among them."""
    generation: int

    @property
    def leaves(self) -> frozenset[str]:
        """The files that no compaction wrote, among those it replaces."""
        return frozenset(name for name in self.replaces if not is_compact(name))

    def outranks(self, other: Claim) -> bool:
        """Whether the other one is not needed beside this one."""
        mine, theirs = self.leaves, other.leaves
        if mine == theirs:
            return (self.generation, self.name) > (other.generation, other.name)
        return mine > theirs


@dataclass(frozen=True, slots=True)
class Cover:
    """Names of the files of a partition: those to be read, and those that hold nothing more."""

    read: tuple[str, ...]
    stale: tuple[str, ...]
    claims: Mapping[str, Claim]
    """What the compacted ones stand for."""
    whole: bool = True
    """Whether every leaf is covered exactly once. It is, unless files were removed by hand."""


def choose(names: Iterable[str], claims: Mapping[str, Claim]) -> Cover:
    """The files to read, of those that are there. `claims` are those of the compacted ones."""
    there = sorted(names)
    plain = {name for name in there if not is_compact(name)}
    gone = frozenset().union(*(claim.leaves for claim in claims.values())) - plain
    largest_first = sorted(claims.values(), key=_rank, reverse=True)
    chosen = _disjoint(largest_first, gone)
    if chosen is None:
        # Files that nothing replaces have been removed: what remains is read, some of it maybe twice.
        chosen = [claim for claim in largest_first if not any(one.outranks(claim) for one in largest_first)]
        whole = False
    else:
        whole = True
    covered = frozenset().union(*(claim.leaves for claim in chosen))
    read = {claim.name for claim in chosen} | (plain - covered)
    return Cover(
        tuple(name for name in there if name in read),
        tuple(name for name in there if name not in read),
        dict(claims),
        whole,
    )


def may_delete(name: str, cover: Cover) -> tuple[str, ...] | None:
    """What may be deleted on behalf of a compacted file; None where another one may have a better right.

    `cover` is from a listing that began after the file had been published.
    """
    mine = cover.claims[name]
    for other in cover.claims.values():
        if other.name != name and other.leaves & mine.leaves and not mine.outranks(other):
            return None
    outranked = {other.name for other in cover.claims.values() if mine.outranks(other)}
    there = (*cover.read, *cover.stale)
    return tuple(one for one in there if one in mine.leaves or one in outranked)


def claim_of(file: LakeFile) -> Claim:
    """The claim of an opened compacted file."""
    return Claim(file.file.name, file.replaces, file.generation)


def _rank(claim: Claim) -> tuple[int, int, str]:
    return len(claim.leaves), claim.generation, claim.name


def _disjoint(claims: Sequence[Claim], gone: frozenset[str]) -> list[Claim] | None:
    """Claims that share no leaf and together have all that are gone; those named first are preferred."""
    if not claims:
        return [] if not gone else None
    first, rest = claims[0], claims[1:]
    apart = [claim for claim in rest if not claim.leaves & first.leaves]
    with_first = _disjoint(apart, gone - first.leaves)
    if with_first is not None:
        return [first, *with_first]
    return _disjoint(rest, gone)
