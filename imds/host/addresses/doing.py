"""Does what a plan says and undoes what the record says; each step is on record before it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.host.addresses import ALL, AddressesError, record
from imds.host.addresses.commands import find
from imds.host.addresses.plan import steps
from imds.host.addresses.seen import look
from imds.host.addresses.things import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imds.host.addresses.commands import Command
    from imds.host.addresses.plan import Step, Wish
    from imds.host.addresses.record import Record
    from imds.host.addresses.seen import Seen


def ours_now() -> Record:
    """Return what we have put there and is there.

    Raises:
        AddressesError: it cannot be seen.
    """
    return what_is_ours(record.load(), look())


def what_is_ours(kept: Record, seen: Seen) -> Record:
    """Return the record without what is gone, or has given way to somebody else's of the same name.

    What was about to be put there when we were killed, and is there, is ours: it was not there before.
    """
    found = []
    for one in kept.put:
        unseen = isinstance(one.thing, Table) and seen.tables is None  # only root may look
        identity = (one.identity or 0) if unseen else seen.identity(one.thing)
        if identity is not None and one.identity in (None, identity):
            found.append(replace(one, identity=identity))
    return replace(kept, put=tuple(found))


def bring_up(wish: Wish, *, say: Callable[[str], None], really: bool) -> None:
    """Bring the addresses to this host, as far as they are not there; shows each command before it does it.

    Another topology than before replaces that one. What fails is undone as far as this call has come.

    Args:
        wish: what is to be.
        say: shows a line.
        really: False shows only.

    Raises:
        AddressesError: it cannot be done.
    """
    seen = look()
    kept = what_is_ours(record.load(), seen)
    if kept.put and kept.topology is not wish.topology:
        say(f"# {kept.topology.value if kept.topology else 'the former'} gives way to {wish.topology.value}")
        gone = [one.thing for one in kept.put]
        kept = _take_all(kept, say=say, really=really)
        seen = look() if really else seen.without(gone)
    elif kept.topology is wish.topology and kept.put:
        both = {*kept.addresses, *wish.addresses}
        wish = replace(wish, addresses=tuple(host for host in ALL if host in both))
    _put_all(wish, kept, seen, say=say, really=really)


def _put_all(wish: Wish, kept: Record, seen: Seen, *, say: Callable[[str], None], really: bool) -> None:
    before = kept
    planned = list(steps(wish, seen, kept))
    _need(one for step in planned if not step.there for one in step.commands)
    kept = replace(kept, topology=wish.topology, addresses=wish.addresses, target=wish.target)
    for step in planned:
        say(f"# to {step.why}{': there already' if step.there else ''}")
        if step.there:
            continue
        if step.puts is not None:
            kept = kept.having(step.puts)
        if not really:
            for one in step.commands:
                say(str(one))
            continue
        try:
            kept = _do(step, kept, say)
        except AddressesError:
            _undo(kept, before, say)
            raise
    if really and kept.put:
        record.save(kept)


def _do(step: Step, kept: Record, say: Callable[[str], None]) -> Record:
    """Do one step, which is on record before it is done; return the record with the number of what is there."""
    record.save(kept)
    for one in step.commands:
        say(str(one))
        one.run()
    if step.puts is not None:
        kept = kept.having(step.puts, look().identity(step.puts))
        record.save(kept)
    return kept


def _need(commands: Iterable[Command]) -> None:
    """Look for the programs first: without one of them half of it would be done."""
    for program in sorted({one.words[0] for one in commands}):
        find(program)


def _undo(kept: Record, before: Record, say: Callable[[str], None]) -> None:
    """Take away what this call has put there."""
    old = {one.thing for one in before.put}
    new = [one.thing for one in what_is_ours(kept, look()).put if one.thing not in old]
    for thing in reversed(new):
        say(f"# that failed, so to take away {thing}")
        say(str(thing.removal()))
        thing.removal().run()
    record.save(before)


def take_down(*, say: Callable[[str], None], really: bool) -> bool:
    """Take away what ``bring_up`` has put there, and nothing else; return whether there was something.

    Args:
        say: shows a line.
        really: False shows only.

    Raises:
        AddressesError: it cannot be done; what is left is on record still.
    """
    kept = record.load()
    _need(one.thing.removal() for one in kept.put)
    seen = look()
    ours = what_is_ours(kept, seen)
    for one in kept.put:
        if one.thing not in {other.thing for other in ours.put}:
            say(f"# {one.thing}: gone already, or not ours any more")
    _take_all(ours, say=say, really=really)
    return bool(kept.put)


def _take_all(ours: Record, *, say: Callable[[str], None], really: bool) -> Record:
    for one in reversed(ours.put):
        say(f"# to take away {one.thing}")
        say(str(one.thing.removal()))
        if really:
            one.thing.removal().run()
            ours = ours.without(one.thing)
            record.save(ours)
    if really:
        record.save(replace(ours, put=()))
    return replace(ours, put=())
