"""One look-up serves all who wait, and no user takes more than a thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest

from imds.host.shared_lookups import SharedLookUps


class Gate:
    """A look-up that says what it is asked, and waits where it is told to.

    Attributes:
        asked: the keys and questions of every look-up so far.
        shut: keys whose look-ups wait for ``opened``.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, frozenset[int]]] = []
        self.shut: set[str] = set()
        self.opened = threading.Event()

    def look(self, key: str, questions: frozenset[int]) -> dict[int, str]:
        self.asked.append((key, questions))
        if key in self.shut:
            assert self.opened.wait(30)
        return {question: f"{key}{question}" for question in questions if question >= 0}


@contextmanager
def looking(gate: Gate, *, threads: int = 2):
    """Look up by a gate."""
    shared = SharedLookUps(gate.look, threads=threads, name="test")
    try:
        yield shared
    finally:
        gate.opened.set()
        shared.close()


async def until(condition) -> None:
    """Let the others go on until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what a thread has done
            await asyncio.sleep(0.001)


async def test_a_herd_is_two_look_ups() -> None:
    """Who comes while a look-up is under way waits for the next, which serves them all."""
    gate = Gate()
    gate.shut = {"a"}
    with looking(gate) as shared:
        first = asyncio.create_task(shared.ask("a", 0))
        await until(lambda: gate.asked)
        rest = [asyncio.create_task(shared.ask("a", number)) for number in (1, 2, 3, 2)]
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(first, *rest) == ["a0", "a1", "a2", "a3", "a2"]
    assert gate.asked == [("a", frozenset({0})), ("a", frozenset({1, 2, 3}))]


async def test_a_question_that_was_answered_before_is_asked_again() -> None:
    """Nothing is kept: an answer is never older than its question."""
    gate = Gate()
    with looking(gate) as shared:
        assert [await shared.ask("a", 0) for _ in range(3)] == ["a0"] * 3
    assert len(gate.asked) == 3


async def test_one_key_does_not_hold_up_the_others() -> None:
    """However many ask for a key whose look-up hangs, the other keys have their turn."""
    gate = Gate()
    gate.shut = {"a"}
    with looking(gate) as shared:
        stuck = [asyncio.create_task(shared.ask("a", number)) for number in range(50)]
        await until(lambda: gate.asked)
        assert await asyncio.gather(*(shared.ask(key, 1) for key in "bcd")) == ["b1", "c1", "d1"]
        assert not any(task.done() for task in stuck)
        gate.opened.set()
        await asyncio.gather(*stuck)


async def test_there_are_no_more_look_ups_at_once_than_threads() -> None:
    """Further keys wait until a thread is free."""
    gate = Gate()
    gate.shut = set("abc")
    with looking(gate) as shared:
        tasks = [asyncio.create_task(shared.ask(key, 1)) for key in "abc"]
        await until(lambda: len(gate.asked) == 2)
        tasks.append(asyncio.create_task(shared.ask("c", 2)))
        await asyncio.sleep(0.01)
        assert {key for key, _ in gate.asked} == {"a", "b"}
        gate.opened.set()
        await asyncio.gather(*tasks)
    assert gate.asked[2] == ("c", frozenset({1, 2})), "who came while the key waited for its turn is in it"


async def test_who_gave_up_is_not_looked_up() -> None:
    """A question that nobody waits for any more costs nothing, and its key can be asked again."""
    gate = Gate()
    gate.shut = {"a"}
    with looking(gate) as shared:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.gather(shared.ask("a", 0), shared.ask("b", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await shared.ask("a", 1)
        gate.opened.set()
        assert await shared.ask("a", 2) == "a2"
    assert ("a", frozenset({2})) in gate.asked
    assert not any(1 in questions for _, questions in gate.asked)


async def test_what_is_not_found_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    """No answer is None, and so is a mistake of ours, which the log tells."""
    gate = Gate()
    with looking(gate) as shared:
        assert await shared.ask("a", -1) is None
        shared._look = None
        assert await shared.ask("a", 1) is None
    assert "unexpected failure while looking a caller up" in caplog.text
