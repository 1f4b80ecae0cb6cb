"""A local exchange: a process of its own that speaks Binance's spot market data protocol on loopback.

It publishes recorded trades (a tape) or a seeded generated market over a real websocket and answers
the REST endpoints from what it has published so far. Faults come on command. The demo, the replay of
files, the drills and the tests talk to it exactly as they would to the venue.

    tape.py, market.py   where events come from (source.py: what both offer)
    market_tape.py       a generated market as a file to play
    pacing.py            when an event is due
    publisher.py         the loop: source -> history -> faults -> connections
    history.py klines.py what has been published, as REST shows it
    wire.py bulletin.py  the bytes of messages
    streams.py connection.py websocket_door.py   the websocket side
    rest.py rest_limits.py rest_parameters.py control.py    the REST side
    faults.py fault_plan.py    what goes wrong, and when
    server.py            `LocalExchange`: all of it together
"""
