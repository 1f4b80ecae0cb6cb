"""Errors of the live side: what a venue or a store refused, and what makes a connection unusable.

TickcastError
    VenueError            a venue answered with an error of its own
    FeedError             a connection can't be used at all; trying again won't help
    GapNotFilled          missing trades could not be fetched (cluster/gap_filler.py)
    StoreError            the object store did not do what it was asked
        StoreUnreachable  it did not answer: trying again later can help
        StoreRefused      it refuses us: trying again won't help
        ObjectMissing     there is no object under this key
    PointerMoved          somebody else has pointed at other models meanwhile
    LogError              the tick log on local disk can't be used
        LogBusy           another process has it
        LogFull           it takes no more for now
"""

from __future__ import annotations

from features.errors import TickcastError


class VenueError(TickcastError):
    """A venue refused a request, or answered something that isn't the answer to it.

    `code` is the venue's own code, None when it gave none; `message` is the venue's text.
    """

    def __init__(self, venue: str, code: int | str | None, message: str) -> None:
        Exception.__init__(self, venue, code, message)
        self.venue = venue
        self.code = code
        self.message = message
        self.problem = f"the venue answered with error {code}: {message}" if code is not None else message
        self.where = venue
        self.fix = ""


class FeedError(TickcastError):
    """A connection can't be used: a bad address, or the venue doesn't let us in. Not retried."""


class StoreError(TickcastError):
    """The object store did not do what it was asked."""


class StoreUnreachable(StoreError):
    """The store did not answer, broke off or said that it is busy: trying again later can help."""


class StoreRefused(StoreError):
    """The store refuses us: wrong credentials, no rights, no such bucket. Trying again won't help."""


class ObjectMissing(StoreError):
    """There is no object under this key."""


class PointerMoved(TickcastError):
    """What models a symbol is to have was changed by somebody else since it was looked at."""


class LogError(TickcastError):
    """The tick log on local disk can't be used."""


class LogBusy(LogError):
    """Another process has the tick log of this symbol."""


class LogFull(LogError):
    """The disk takes no more, or too much waits for the lake: no tick is taken in until it does."""
