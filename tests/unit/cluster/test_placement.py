"""Where a symbol goes: where it was, else where there is most room."""

from __future__ import annotations

from cluster.placement import Node, alive, choose

HEAD, ONE, TWO = Node("head", 0.0), Node("one", 4.0), Node("two", 4.0)


def test_the_node_with_fewest_symbols_for_its_cpus_is_chosen() -> None:
    assert choose([ONE, TWO], ["one", "one", "two"]) == "two"
    assert choose([Node("small", 1.0), Node("large", 8.0)], ["small", "large", "large"]) == "large"


def test_a_symbol_stays_where_it_was_while_that_node_is_alive() -> None:
    assert choose([ONE, TWO], ["one", "one"], before="one") == "one"
    assert choose([TWO], ["one"], before="one") == "two"


def test_a_node_without_cpus_carries_symbols_only_where_no_other_is() -> None:
    assert choose([HEAD, ONE], ["one"] * 50) == "one"
    assert choose([HEAD, ONE], [], before="head") == "one"
    assert choose([HEAD], []) == "head"


def test_equal_nodes_are_told_apart_always_in_the_same_way() -> None:
    assert choose([TWO, ONE], []) == choose([ONE, TWO], []) == "one"


def test_without_nodes_there_is_no_place() -> None:
    assert choose([], []) is None


def test_only_nodes_that_are_alive_count() -> None:
    nodes = [
        {"NodeID": "a", "Alive": True, "Resources": {"CPU": 2.0, "memory": 1.0}},
        {"NodeID": "b", "Alive": False, "Resources": {"CPU": 8.0}},
        {"NodeID": "c", "Alive": True, "Resources": {}},
    ]
    assert alive(nodes) == [Node("a", 2.0), Node("c", 0.0)]
