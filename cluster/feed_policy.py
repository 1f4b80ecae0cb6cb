"""How a feed connects, waits, buffers and gives up: settings only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FeedPolicy(BaseModel):
    """Settings of one feed. All have defaults that fit a venue with public trades."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    open_timeout_s: float = Field(10.0, gt=0)
    """For the TCP connection, TLS and the websocket handshake together."""
    close_timeout_s: float = Field(5.0, gt=0)
    """For the venue to answer our close frame."""
    stale_after_s: float | None = Field(None, gt=0)
    """No frame at all (pings count) for so long: connect anew. None: the venue's `silence_limit_s`."""
    ping_interval_s: float = Field(20.0, gt=0)
    """Send a ping after so much silence."""
    ping_timeout_s: float = Field(20.0, gt=0)
    """Nothing received for so long after our ping: connect anew."""
    backoff_first_s: float = Field(0.0, ge=0)
    """The wait before the first reconnect."""
    backoff_base_s: float = Field(1.0, gt=0)
    """The bound of the wait before the second reconnect; it doubles from there."""
    backoff_max_s: float = Field(30.0, gt=0)
    jitter: float = Field(1.0, ge=0, le=1)
    """The random share of each wait; 1 is full jitter."""
    settled_after_s: float = Field(5.0, ge=0)
    """A connection is good once it has brought data and lived so long; then waits are short again."""
    buffer_messages: int = Field(10_000, ge=1)
    """Events that may wait for the consumer; then reading stops and TCP makes the venue wait.

    As many frames again may wait unparsed, and what one read from the socket holds on top."""
    max_batch: int = Field(2_000, ge=1)
    """The most events handed over at once."""
    max_message_bytes: int = Field(1_048_576, ge=1)
    """A larger message ends the connection: it can only be a mistake."""
    rotate_after_s: float | None = Field(None, gt=0)
    """Replace a connection of this age. None: nine tenths of the venue's `planned_lifetime_s`."""
    rotate_spread: float = Field(0.05, ge=0, lt=1)
    """The random share by which a rotation comes early, so that feeds don't rotate all at once."""
    overlap_s: float = Field(2.0, ge=0)
    """How long old and new connection run side by side once the new one has brought data."""
    proof_timeout_s: float = Field(60.0, gt=0)
    """A new connection takes over without data after so long: its symbols may be quiet."""
    compression: Literal["deflate"] | None = None
    """Off by default: it costs more time than the bytes it saves at these message sizes."""
    proxy: str | None = None
    """Address of an HTTP or SOCKS proxy. The environment's proxy settings are not read."""
