"""How a tick log writes, rolls and is bounded: settings only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.errors import ConfigError


class LogPolicy(BaseModel):
    """Settings of the tick log of each symbol, and of the checkpoints beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fsync: Literal["interval", "always", "never"] = "interval"
    """When the log is forced to the disk. A killed process loses nothing in any case. A machine that loses
    power loses up to `fsync_every_s` of ticks with "interval", nothing with "always" (every batch waits for
    the disk), what the system had not written yet with "never"."""
    fsync_every_s: float = Field(1.0, gt=0)
    roll_bytes: int = Field(32 * 2**20, ge=4096)
    """A segment of this size is closed and goes to the lake."""
    roll_after_s: float = Field(60.0, gt=0)
    """A segment of this age is closed, if it holds anything."""
    limit_bytes: int = Field(2 * 2**30, ge=2**20)
    """So much may wait for the lake, for each symbol. Beyond it no more ticks are taken in, and the symbol
    says so: what the venue sends meanwhile is fetched through its REST endpoint later."""
    checkpoint_every_s: float = Field(10.0, gt=0)
    """How often the engine's state is written to disk. A restart replays the log from there."""
    retry_s: float = Field(1.0, gt=0)
    """The pause before another attempt after a write to the disk has failed."""

    @model_validator(mode="after")
    def _check_room(self) -> LogPolicy:
        if self.limit_bytes < 2 * self.roll_bytes:
            raise ConfigError(
                f"{self.limit_bytes} is less than two segments of {self.roll_bytes} bytes",
                "storage.log.limit_bytes",
                "raise it, or lower storage.log.roll_bytes",
            )
        return self
