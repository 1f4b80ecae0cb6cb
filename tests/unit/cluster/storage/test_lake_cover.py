"""Which files are read and which may go, when compacted files share what they stand for."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from cluster.storage.cover import Claim, Cover, choose, may_delete


def claim(name: str, leaves: str, *more: str, generation: int = 1) -> Claim:
    """A compacted file that stands for leaves of one letter each, and for other compacted files."""
    return Claim(f"compact-{name}", frozenset([*leaves, *(f"compact-{one}" for one in more)]), generation)


def cover(plain: str, *claims: Claim) -> Cover:
    by_name = {one.name: one for one in claims}
    return choose([*plain, *by_name], by_name)


def test_plain_files_are_all_read() -> None:
    assert cover("abc") == Cover(("a", "b", "c"), (), {})


def test_a_compacted_file_hides_what_it_stands_for_and_nothing_else() -> None:
    found = cover("abc", claim("1", "ab"))
    assert (found.read, found.stale) == (("c", "compact-1"), ("a", "b"))
    found = cover("c", claim("1", "ab"), claim("2", "abc", "1"))
    assert (found.read, found.stale) == (("compact-2",), ("c", "compact-1"))


def test_of_two_that_share_leaves_those_are_taken_that_cover_everything() -> None:
    one, two = claim("1", "abcd"), claim("2", "abe")
    assert cover("abcde", one, two).read == ("compact-1", "e")
    assert cover("e", one, two).read == ("compact-1", "e")
    assert cover("cd", one, two).read == ("c", "compact-2", "d")
    assert cover("abcde", one, two).whole


def test_nothing_is_left_out_when_files_were_removed_by_hand() -> None:
    found = cover("", claim("1", "abcd"), claim("2", "abe"))
    assert (found.read, found.whole) == (("compact-1", "compact-2"), False)


def test_what_is_outranked_may_go_and_nothing_else() -> None:
    small, large = claim("1", "ab"), claim("2", "abc", "1")
    assert may_delete("compact-2", cover("abcd", small, large)) == ("a", "b", "c", "compact-1")
    assert may_delete("compact-1", cover("abcd", small, large)) is None
    assert may_delete("compact-1", cover("abcd", small)) == ("a", "b")
    assert may_delete("compact-1", cover("cd", small, claim("3", "ef"))) == ()


def test_nobody_may_remove_anything_for_one_of_two_that_share_leaves() -> None:
    one, two = claim("1", "abc"), claim("2", "bcd")
    for name in ("compact-1", "compact-2"):
        assert may_delete(name, cover("abcd", one, two)) is None
    both = claim("3", "abcd", "1", "2", generation=2)
    assert may_delete("compact-3", cover("abcd", one, two, both)) == (*"abc", "compact-1", "compact-2", "d")


def test_of_equals_the_newer_one_stays() -> None:
    old, new = claim("9", "ab", generation=1), claim("1", "ab", "9", generation=2)
    assert cover("", old, new).read == ("compact-1",)
    assert may_delete("compact-1", cover("ab", old, new)) == ("a", "b", "compact-9")
    assert may_delete("compact-9", cover("ab", old, new)) is None
    twin = claim("2", "ab", "9", generation=2)
    assert may_delete("compact-1", cover("ab", new, twin)) is None
    assert may_delete("compact-2", cover("ab", new, twin)) == ("a", "b", "compact-1")


_CLAIMS = st.lists(
    st.tuples(st.sets(st.sampled_from("abcdef"), min_size=1), st.integers(1, 3)), min_size=1, max_size=5
)


@given(_CLAIMS, st.data())
def test_every_leaf_is_read_once_and_what_may_go_is_covered(
    given_claims: list[tuple[set[str], int]], data: st.DataObject
) -> None:
    """From any set of compacted files: let one remove what it may, all or part of it, and look again."""
    claims = [claim(str(i), "".join(leaves), generation=g) for i, (leaves, g) in enumerate(given_claims)]
    leaves = frozenset().union(*(one.leaves for one in claims))
    there = {*leaves, *(one.name for one in claims)}
    for _ in range(len(claims)):
        found = choose(there, {one.name: one for one in claims if one.name in there})
        assert found.whole
        taken = [one for one in claims if one.name in found.read]
        assert not any(one.leaves & other.leaves for one, other in combinations(taken, 2))
        alone = {name for name in found.read if name in leaves}
        assert alone | frozenset().union(*(one.leaves for one in taken)) == leaves
        assert not alone & frozenset().union(*(one.leaves for one in taken))
        may = {name: may_delete(name, found) for name in found.claims}
        able = sorted(name for name, removable in may.items() if removable)
        if not able:
            return
        removable = may[data.draw(st.sampled_from(able))] or ()
        there -= set(data.draw(st.lists(st.sampled_from(removable))))
