"""Commands and error answers of a connection, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.exchange.bulletin import Channel, Stream
from cluster.exchange.source import Instrument
from cluster.exchange.streams import Subscriptions, parse_endpoint, stream_table
from cluster.exchange.wire import Dialect

TABLE = stream_table([Instrument("BTCUSDT"), Instrument("BRK-A")])


def open_connection(target: str = "/ws", limit: int = 1024) -> Subscriptions:
    endpoint = parse_endpoint(target)
    assert endpoint is not None
    return Subscriptions(TABLE, endpoint, limit)


def ask(subscriptions: Subscriptions, **command: Any) -> Any:
    return json.loads(subscriptions.answer(json.dumps(command)))


def test_subscribe_list_and_unsubscribe_are_acknowledged():
    connection = open_connection()
    params = ["btcusdt@trade", "brk-a@aggTrade"]
    assert ask(connection, method="SUBSCRIBE", params=params, id=1) == {"result": None, "id": 1}
    assert connection.streams == {Stream(0, Channel.TRADE), Stream(1, Channel.AGGREGATE)}
    assert ask(connection, method="LIST_SUBSCRIPTIONS", id="x3") == {"result": params, "id": "x3"}
    assert ask(connection, method="UNSUBSCRIBE", params=params[:1], id=None) == {"result": None, "id": None}
    assert connection.streams == {Stream(1, Channel.AGGREGATE)}


@pytest.mark.parametrize("name", ["nosuch@trade", "BTCUSDT@trade", "btcusdt@depth"])
def test_an_unknown_stream_is_acknowledged_and_gives_no_data(name: str):
    connection = open_connection()
    assert ask(connection, method="SUBSCRIBE", params=[name], id=1) == {"result": None, "id": 1}
    assert connection.streams == frozenset()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"method":"SET_PROPERTY","params":["nosuch",true],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
        ('{"method":"SET_PROPERTY","params":["combined",true,1],"id":1}', 2),
        ('{"method":"SUBSCRIB","params":["btcusdt@trade"],"id":1}', 2),
        ('{"params":["btcusdt@trade"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1.5}', 2),
        ('{"method":["SUBSCRIBE"],"params":["btcusdt@trade"],"id":1}', 2),
        ("[]", 2),
        ("{", 3),
        (b"\xff\xfe\xff", 3),
    ],
)
def test_a_bad_command_gets_the_venues_error_code_and_changes_nothing(text: str | bytes, code: int):
    connection = open_connection("/ws/btcusdt@trade")
    answer = json.loads(connection.answer(text))
    assert answer["code"] == code and answer["msg"]
    assert connection.streams == {Stream(0, Channel.TRADE)}


def test_too_many_streams_are_refused_as_a_whole():
    connection = open_connection("/ws/btcusdt@trade", limit=2)
    assert ask(connection, method="SUBSCRIBE", params=["a@trade", "b@trade"], id=1)["code"] == 2
    assert ask(connection, method="LIST_SUBSCRIPTIONS", id=2)["result"] == ["btcusdt@trade"]


def test_combined_can_be_switched():
    connection = open_connection()
    assert ask(connection, method="SET_PROPERTY", params=["combined", True], id=1)["result"] is None
    assert ask(connection, method="GET_PROPERTY", params=["combined"], id=2)["result"] is True
    assert connection.dialect.combined


def test_urls_say_streams_wrapping_and_time_unit():
    raw = parse_endpoint("/ws/a@trade/b@trade")
    combined = parse_endpoint("/stream?streams=a@trade/b@trade&timeUnit=MICROSECOND")
    assert raw is not None and combined is not None
    assert raw.names == combined.names == ("a@trade", "b@trade")
    assert (raw.dialect, combined.dialect) == (Dialect(), Dialect(True, 1_000))
    assert parse_endpoint("/api") is None and parse_endpoint("/wsx") is None
