"""MFA codes: who is asked for one, how and when, and what is done with it.

One task for each source with a device. It sleeps until a code is due, asks once in the ways that the configuration
names, and never holds anybody up: clients have their answer from the store meanwhile, and the roles their own tasks.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imds.config.chains import first_source
from imds.config.sources import FromSessionToken
from imds.core.asking import Asking, ask_at
from imds.core.errors import PASSES_BY_ITSELF, Action, BadRequestError, CredentialsError
from imds.core.timestamps import timestamp
from imds.daemon.mfa_ways import question
from imds.host.prompts import PromptFailedError, UnansweredError
from imds.web.peers import MFA_CODE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from datetime import datetime

    from imds.aws.mfa import MfaCodes
    from imds.aws.sources import SharedSource
    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.skew import Skew
    from imds.daemon.keepers import Keepers
    from imds.daemon.mfa_ways import Ways

    _Found = tuple[str, bool] | None

logger = logging.getLogger(__name__)

MOST_TRIES = 3
"""For a person who mistypes."""

LOOK_AGAIN = timedelta(minutes=5)
"""Meanwhile AWS's clock may have turned out to be another."""

AFTER_FAULT = timedelta(minutes=1)
"""After the network or AWS failed, another code is tried so late where nobody has to type it."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A source with a device, and how it stands with its code.

    Attributes:
        names: of the roles that one code opens.
        ends: the end of the session for whose renewal the last code was asked for; None where there was none.
        asked: whether it has been asked for.
        again: when it is asked for again; None for never.
        way: what is asking now.
        problem: why the last time brought no code, for people.
        news: set when something has changed.
    """

    device: str
    names: tuple[str, ...]
    asking: Asking
    source: SharedSource
    codes: MfaCodes
    ends: datetime | None = None
    asked: bool = False
    again: datetime | None = None
    way: str | None = None
    problem: str | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def begin_anew(self) -> None:
        """Let a code be asked for again, although it has been."""
        self.asked, self.again, self.problem = False, None, None
        self.news.set()


class Mfa:
    """Asks for codes and gives them to the sources.

    Args:
        keepers: of the roles and their sources.
        clock: the machine's.
        skew: AWS's time.
        ways: how a code is come by.
        tell: told what to tell people when a code is asked for: the roles, and what to do.
    """

    def __init__(
        self,
        *,
        keepers: Keepers,
        clock: Clock,
        skew: Skew,
        ways: Ways,
        tell: Callable[[tuple[str, ...], str], None] = lambda _names, _text: None,
    ) -> None:
        self._keepers = keepers
        self._clock = clock
        self._skew = skew
        self._ways = ways
        self._tell = tell
        self._one_dialog = asyncio.Lock()
        self._roles: Mapping[str, Role] = {}
        self._asked: dict[FromSessionToken, _Asked] = {}
        self._tasks: dict[FromSessionToken, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def live_in(self, group: asyncio.TaskGroup) -> None:
        """Start tasks in ``group`` from now on."""
        self._group = group

    def apply(self, roles: Mapping[str, Role]) -> None:
        """Ask for the codes of ``roles``, and of no others; whoever is being asked stays so."""
        self._roles = roles
        builder, named = self._keepers.builder, self._devices()
        if builder is None or self._group is None:
            return
        for source in [source for source in self._tasks if source not in named]:
            self._stop(source)
        for source, names in named.items():
            shared, asking = builder.shared_source(source), _asking(source, names, roles)
            known = self._asked.get(source)
            if known is not None and known.source is shared and known.asking == asking:
                known.names = names
                continue
            self._stop(source)
            one = _Asked(
                device=source.mfa_serial or "",
                names=names,
                asking=asking,
                source=shared,
                codes=builder.codes[source],
            )
            shared.loaded = one.news.set
            self._asked[source] = one
            self._tasks[source] = self._group.create_task(self._ask_in_time(one), name=f"MFA codes of {one.device}")

    def begin_anew(self, roles: Iterable[str]) -> None:
        """Ask once more for the codes of ``roles`` that have been asked for: somebody says that it may help."""
        for one in self._asked.values():
            if not {*roles}.isdisjoint(one.names):
                one.begin_anew()

    async def give(self, role: str, code: str) -> list[str]:
        """Try ``code`` at once for the source of ``role``; return the names of all roles that it opens.

        A code given before it is needed renews the source's session, and with it the roles.

        Raises:
            BadRequestError: the role's source takes no codes.
            CredentialsError: AWS does not take it, or it has been used; it is not tried again.
        """
        builder = self._keepers.builder
        if builder is None:
            raise BadRequestError("the daemon has only just started: try again in a moment")
        source = first_source(self._roles, role)
        unwanted = BadRequestError(f"role {role} comes from {source}, which takes no MFA code: see mfa_serial")
        codes = builder.mfa_codes(source)
        if codes is None:
            raise unwanted
        shared = builder.shared_source(source)
        try:
            await shared.retry(self._clock.now(), first=lambda: codes.give(code))
        finally:
            unused = codes.forget()
        if unused:
            raise unwanted
        opened = [name for name in self._roles if first_source(self._roles, name) == source]
        for name in opened:
            self._keepers.wake(name)
        return opened

    def told(self, role: str) -> dict[str, Any] | None:
        """Return what people may know of the code of a role; None where it takes none that we know of."""
        if role not in self._roles:
            return None
        source = first_source(self._roles, role)
        one = self._asked.get(source) if isinstance(source, FromSessionToken) else None
        if one is None:
            return self._told_of_profile(role)
        wanted = self._wanted(one)
        now = self._skew.now()
        ends = one.source.session[1] if one.source.session is not None else None
        return {
            "device": one.device,
            "asked": wanted is not None and wanted <= now,
            "until": timestamp(ends) if ends is not None and ends > now else None,
            "way": one.way,
            "problem": one.problem,
        }

    def _told_of_profile(self, role: str) -> dict[str, Any] | None:
        """Return the same of a profile with a device of its own, which shows only when it waits for a code."""
        builder, source = self._keepers.builder, first_source(self._roles, role)
        codes = builder.codes.get(source) if builder is not None else None
        if builder is None or codes is None or not codes.asked_for:
            return None
        failure = builder.shared_source(source).failure
        asked = failure is not None and failure.action is Action.REAUTHENTICATE
        return {"device": None, "asked": asked, "until": None, "way": None, "problem": None}

    def _devices(self) -> dict[FromSessionToken, tuple[str, ...]]:
        """Return the devices of roles that are kept fresh: a break-glass role has its code with its activation."""
        named: dict[FromSessionToken, tuple[str, ...]] = {}
        for name in [name for name, role in self._roles.items() if role.break_glass is None]:
            source = first_source(self._roles, name)
            if isinstance(source, FromSessionToken) and source.mfa_serial is not None:
                named[source] = (*named.get(source, ()), name)
        return named

    def _stop(self, source: FromSessionToken) -> None:
        one = self._asked.pop(source, None)
        if one is not None:
            one.source.loaded = lambda: None
            self._tasks.pop(source).cancel()

    async def _ask_in_time(self, one: _Asked) -> None:
        while True:
            one.news.clear()
            due = self._due(one)
            if due is None or due > self._skew.now():
                await self._sleep(one, due)
                continue
            remind = one.asking.remind
            one.asked, one.again = True, self._skew.now() + remind if remind is not None else None
            one.problem = None
            try:
                await self._settle(one)
            except Exception:  # one device's failure is nobody else's
                logger.exception("unexpected failure while asking for an MFA code")
                one.problem = "a mistake of ours: the daemon's log has it"
            finally:
                one.way = None

    def _due(self, one: _Asked) -> datetime | None:
        """Return when to ask, by AWS's clock; None for not before something changes."""
        ends = one.source.session[1] if one.source.session is not None else None
        if ends != one.ends:
            one.ends, one.asked, one.again, one.problem = ends, False, None, None
        wanted = self._wanted(one)
        return wanted if wanted is None or not one.asked else one.again

    def _wanted(self, one: _Asked) -> datetime | None:
        """Return from when on a code is wanted: now where roles wait for it."""
        now = self._skew.now()
        if one.source.session is not None and one.source.session[1] > now:
            return ask_at(*one.source.session, one.asking)
        failure = one.source.failure
        return now if failure is not None and failure.action is Action.REAUTHENTICATE else None

    async def _sleep(self, one: _Asked, due: datetime | None) -> None:
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(one.news.wait())]
        if due is not None:
            until = min(due - self._skew.noticed, self._clock.now() + LOOK_AGAIN)
            waiting.append(asyncio.create_task(self._clock.sleep_until(until)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _settle(self, one: _Asked) -> None:
        """Ask once in each way until one brings a code; a person who mistyped may try again at once."""
        remark: str | None = None
        for _ in range(MOST_TRIES):
            found = await self._unless_given(one, self._code(one, remark))
            if found is None:
                break
            code, by_person = found
            remark = await self._try(one, code, by_person=by_person)
            if remark is None or not by_person:
                break
        if one.problem is not None:
            logger.warning("no MFA code of %s: %s", one.device, one.problem)

    async def _unless_given(self, one: _Asked, asking: Coroutine[Any, Any, _Found]) -> _Found:
        """Return what ``asking`` finds; it is ended, and its dialog closed, where a code is given in another way."""
        before, task = one.source.session, asyncio.create_task(asking)
        try:
            while not task.done():
                one.news.clear()
                news = asyncio.create_task(one.news.wait())
                await asyncio.wait([task, news], return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if one.source.session is not before:
                    return None
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _code(self, one: _Asked, remark: str | None) -> _Found:
        """Return a code, and whether a person typed it; None where there is none, for the reason in ``problem``."""
        problems = []
        for name, way in self._ways.without_person(one.device, one.asking, one.codes.used) if remark is None else ():
            one.way = name
            try:
                return await way(), False
            except (PromptFailedError, UnansweredError) as error:
                problems.append(f"{name}: {error}")
        one.way = None
        if remark is None:
            one.problem = "; ".join(problems) or None
            self._say(one)
        async with self._one_dialog:
            for name in one.asking.prompts:
                one.way = name
                try:
                    return await self._ways.ask_person(name, question(one.device, one.names, one.ends, remark)), True
                except PromptFailedError as error:
                    problems.append(f"{name}: {error}")
                except UnansweredError as error:
                    problems.append(f"{name}: {error}")
                    break
        one.problem = "; ".join(problems) or None
        return None

    async def _try(self, one: _Asked, code: str, *, by_person: bool) -> str | None:
        """Give a code to the source; return what to say to whoever typed it, where another may do."""
        if MFA_CODE.fullmatch(code) is None:
            one.problem = f"{one.way}: that was no code of six digits"
            return "That was no code of six digits."
        try:
            await self.give(one.names[0], code)
        except (CredentialsError, BadRequestError) as failure:
            one.problem = str(failure)
            passes = isinstance(failure, CredentialsError) and failure.action in PASSES_BY_ITSELF
            if passes and not by_person:
                again = self._skew.now() + AFTER_FAULT
                one.again = min(again, one.again or again)
            return None if passes else f"It was not taken: {failure}."
        one.problem = None
        return None

    def _say(self, one: _Asked) -> None:
        """Tell people that a code is asked for, before it is too late or because roles wait for it."""
        text = f"an MFA code of {one.device}: imds mfa {one.names[0]}"
        if one.ends is not None and one.ends > self._skew.now():
            logger.info("an MFA code of %s is asked for: its session ends at %s", one.device, timestamp(one.ends))
        self._tell(one.names, text)


def _asking(source: FromSessionToken, names: tuple[str, ...], roles: Mapping[str, Role]) -> Asking:
    """Return how the code of a source is asked for, which may stand at any one of its roles."""
    said = (first_source(roles, name) for name in names)
    wishes = (one.asking for one in said if isinstance(one, FromSessionToken) and one.asking != Asking())
    return next(wishes, source.asking)
