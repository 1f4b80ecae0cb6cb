"""Waiting for something, but no longer than until something else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """The result of `work`; None, and the work cancelled, once the event is set before it is done."""
    task = asyncio.ensure_future(work)
    happened = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((task, happened), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        happened.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
