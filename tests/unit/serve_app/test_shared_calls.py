"""Who shares a call, and what becomes of it."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.shared_calls import SharedCalls


class Question:
    """A call that waits until it is let go, and counts how often it was started."""

    def __init__(self) -> None:
        self.started = 0
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.started += 1
        await self.let_go.wait()
        if self.error:
            raise self.error
        return self.started


async def test_those_who_ask_the_same_meanwhile_share_one_call() -> None:
    calls: SharedCalls[int] = SharedCalls()
    question = Question()
    waiting = asyncio.gather(*(calls.join("a", question) for _ in range(50)))
    await asyncio.sleep(0)
    question.let_go.set()
    assert await waiting == [1] * 50
    assert question.started == 1


async def test_an_answer_is_not_kept_for_the_next_one_who_asks() -> None:
    calls: SharedCalls[int] = SharedCalls()
    question = Question()
    question.let_go.set()
    assert [await calls.join("a", question), await calls.join("a", question)] == [1, 2]
    assert len(calls) == 0


async def test_different_questions_do_not_share() -> None:
    calls: SharedCalls[int] = SharedCalls()
    question = Question()
    question.let_go.set()
    assert await asyncio.gather(calls.join("a", question), calls.join("b", question)) == [1, 2]


async def test_who_gives_up_does_not_end_the_call_of_the_others() -> None:
    calls: SharedCalls[int] = SharedCalls()
    question = Question()

    async def ask() -> int:
        return await calls.join("a", question)

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    question.let_go.set()
    assert await second == 1


async def test_an_error_is_told_to_all_who_wait_and_then_forgotten() -> None:
    calls: SharedCalls[int] = SharedCalls()
    question = Question()
    question.error = ValueError("no")
    question.let_go.set()
    told = await asyncio.gather(*(calls.join("a", question) for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in told] == ["no"] * 3
    question.error = None
    assert await calls.join("a", question) == 2


async def test_an_error_that_nobody_waits_for_any_more_is_not_reported() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    calls: SharedCalls[int] = SharedCalls()
    question = Question()
    question.error = ValueError("no")

    async def ask() -> int:
        return await calls.join("a", question)

    asked = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    question.let_go.set()
    while len(calls):
        await asyncio.sleep(0)
    assert reported == []
