"""Look-ups that take time, in threads: for each user one at a time, which serves all who wait for it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound="Hashable")
Question = TypeVar("Question", bound="Hashable")
Answer = TypeVar("Answer")


class SharedLookUps(Generic[Key, Question, Answer]):
    """Answers questions about users, or whatever the key is; for the event loop's thread.

    Who asks while a look-up of the same key is under way waits for the next, since that one may have passed by what the
    question is about. So a herd costs two look-ups, and one key never takes more than one thread.

    Args:
        look: answers some questions of one key, in a thread; what it leaves out is not known.
        threads: how many look-ups there are at once; keys take turns.
        name: of the threads.
    """

    def __init__(
        self, look: Callable[[Key, frozenset[Question]], Mapping[Question, Answer]], *, threads: int, name: str
    ) -> None:
        self._look = look
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)
        self._waiting: dict[Key, list[tuple[Question, asyncio.Future[Answer | None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key, question: Question) -> Answer | None:
        """Return the answer of a look-up that begins from now on, None where there is none."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer | None] = loop.create_future()
        if key not in self._waiting:
            self._waiting[key] = []
            task = loop.create_task(self._serve(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._waiting[key].append((question, answer))
        return await answer

    def close(self) -> None:
        """Give the threads up."""
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, key: Key) -> None:
        """Look up for those who wait, until nobody does."""
        try:
            while waiting := self._waiting[key]:
                async with self._free:
                    self._waiting[key] = []
                    # whoever has given up is not looked up any more
                    await self._serve_once(key, [one for one in waiting if not one[1].done()])
        finally:
            del self._waiting[key]

    async def _serve_once(self, key: Key, waiting: list[tuple[Question, asyncio.Future[Answer | None]]]) -> None:
        if not waiting:
            return
        questions = frozenset(question for question, _ in waiting)
        found: Mapping[Question, Answer] = {}
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look, key, questions)
        except Exception:
            logger.exception("unexpected failure while looking a caller up")
        for question, answer in waiting:
            if not answer.done():
                answer.set_result(found.get(question))
