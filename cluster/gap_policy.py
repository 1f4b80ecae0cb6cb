"""How long to wait for missing trades, and how hard to ask for them: settings only."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GapPolicy(BaseModel):
    """Settings of one symbol's gap filling. The defaults fit a venue with Binance's limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reorder_wait_s: float = Field(0.1, ge=0)
    """How long a hole may close by itself, by messages that come in another order, before REST is asked."""
    fill_within_s: float = Field(30.0, gt=0)
    """A gap is given up when so long has passed since it was found and since REST last brought a trade."""
    fill_at_most_s: float = Field(300.0, gt=0)
    """A gap is given up after so long, even if REST goes on bringing trades."""
    hold_limit: int = Field(50_000, ge=1)
    """Events that may wait for missing trades; then reading stops and TCP makes the venue wait."""
    catch_up: bool = True
    """After a reconnect or a restart, ask REST for what was missed even if no later trade comes."""
    catch_up_after_s: float = Field(0.5, ge=0)
    """Wait so long for the first trade of the new connection, which shows by its id what was missed."""
    repair_every_s: float = Field(60.0, gt=0)
    """How often REST is asked again for trades that were given up; doubles up to an hour while it is in
    vain."""
    repair_pages: int = Field(20, ge=1)
    """The most requests for such trades at a time."""
    time_overlap_s: float = Field(5.0, ge=0)
    """Where ids don't say what is missing: ask for trades from so long before the last one."""
    request_timeout_s: float = Field(10.0, gt=0)
    """For one REST request, from the connection to the last byte of the answer."""
    backoff_base_s: float = Field(0.25, gt=0)
    """The bound of the wait after the second failed request in a row; it doubles from there. After the
    first one the venue is asked again at once: it may only have closed an old connection."""
    backoff_max_s: float = Field(5.0, gt=0)
    jitter: float = Field(1.0, ge=0, le=1)
    """The random share of each wait; 1 is full jitter."""
    pages_per_s: float = Field(4.0, gt=0)
    """Requests of one symbol in the long run. Four Binance pages of weight 25 a second are all of the
    6,000 a minute that one IP address may use."""
    page_burst: int = Field(20, ge=1)
    """Requests that may be made at once after a quiet time."""
    idle_close_s: float = Field(15.0, gt=0)
    """An unused REST connection is closed after so long."""
    proxy: str | None = None
    """Address of an HTTP proxy. The environment's proxy settings are not read."""
