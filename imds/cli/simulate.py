"""``imds simulate``: EC2's events and faults at will."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imds.cli import simulations
from imds.cli.options import socket_option
from imds.core.durations import parse_duration
from imds.core.events import (
    FAULTS,
    LIFECYCLE_STATES,
    MAINTENANCE_CODES,
    MAINTENANCE_STATES,
    MOST_REQUESTS,
    SPOT_ACTIONS,
    Fault,
    LifecycleState,
    Maintenance,
    Rebalance,
    RoleChange,
    SpotInterruption,
    TagChange,
)
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """A duration: ``800ms``, ``90s``, ``2m``, ``1h30m`` or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Return seconds."""
        duration = parse_duration(value)
        if duration is None:
            self.fail(f"{value!r} is not a duration: write 800ms, 90s, 2m or 1h30m", param, ctx)
        return duration.total_seconds()


TIME = click.DateTime(formats=["%Y-%m-%dT%H:%M:%SZ"])
MOMENT = "2026-01-31T12:00:00Z"


@click.group("simulate", invoke_without_command=True)
@click.option("--script", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A timeline, YAML.")
@click.option("--clear", is_flag=True, help="End everything that is simulated.")
@click.option("--list", "show", is_flag=True, help="Show what is simulated, and what is to come.")
@click.option("--json", "as_json", is_flag=True, help="With --list: for programs.")
@click.option("--instance", help="With --clear: of this instance only.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    script: Path | None,
    clear: bool,
    show: bool,
    as_json: bool,
    instance: str | None,
    socket_path: Path | None,
) -> None:
    """Let EC2's events come, and requests fail, to see what your software does.

    Everything holds until it is cleared or the daemon ends; faults end by themselves.

    \b
    imds simulate spot-interruption --in 30s
    imds simulate maintenance --code system-reboot --not-before 2026-01-31T12:00:00Z
    imds simulate fault latency --delay 800ms --for 30s
    imds simulate --script drill.yaml
    imds simulate --list
    imds simulate --clear
    """
    ctx.obj = socket_path
    if ctx.invoked_subcommand is not None:
        if script is not None or clear or show or as_json or instance is not None:
            raise click.UsageError(f"write options after the event: imds simulate {ctx.invoked_subcommand} …")
        return
    if (script is not None) + clear + show != 1:
        raise click.UsageError("name an event, or give one of --script, --list and --clear")
    if script is not None:
        simulations.send_script(socket_path, script)
    elif clear:
        simulations.clear(socket_path, None, instance)
    else:
        simulations.show(socket_path, as_json=as_json)


def _event(name: str, *options: Callable[[Any], Any]) -> Callable[[Callable[..., dict[str, Any]]], click.Command]:
    """Return a decorator that makes a command of what gives an event's own fields."""

    def decorate(own: Callable[..., dict[str, Any]]) -> click.Command:
        @click.pass_context
        def run(
            ctx: click.Context,
            /,
            *,
            after: float | None,
            at: Any,  # noqa: ANN401 - a time
            instance: str | None,
            clear: bool,
            socket_path: Path | None,
            **chosen: Any,  # noqa: ANN401 - the event's own
        ) -> None:
            path = socket_path or ctx.obj
            if clear:
                simulations.clear(path, name, instance)
                return
            common = {"event": name, "instance": instance, "in": after, "at": _text(at)}
            simulations.send(path, [{**common, **own(**chosen)}])

        run.__doc__ = own.__doc__
        wrapped: Any = run
        for option in reversed((*options, *COMMON)):
            wrapped = option(wrapped)
        return command.command(name)(wrapped)

    return decorate


COMMON = (
    click.option("--in", "after", type=Duration(), help="Let it come after this time; default: at once."),
    click.option("--at", type=TIME, metavar="TIME", help=f"Let it come at this time (UTC), as in {MOMENT}."),
    click.option("--instance", help="Of this instance; default: default."),
    click.option("--clear", is_flag=True, help="End it, and what of its kind is to come."),
    socket_option,
)


@_event(
    SpotInterruption.EVENT,
    click.option("--action", type=click.Choice(SPOT_ACTIONS), default=SPOT_ACTIONS[0]),
    click.option("--notice", type=Duration(), help="From the notice to the action; default: 2m, at once to hibernate."),
)
def _spot(*, action: str, notice: float | None) -> dict[str, Any]:
    """Announce that EC2 takes the Spot instance back.

    spot/instance-action appears, and spot/termination-time with it where the action is to terminate.

    \b
    imds simulate spot-interruption --in 30s
    imds simulate spot-interruption --action stop --notice 5m
    """
    return {"action": action, "notice": notice}


@_event(Rebalance.EVENT)
def _rebalance() -> dict[str, Any]:
    """Recommend to move the work of the Spot instance elsewhere.

    \b
    imds simulate rebalance
    """
    return {}


@_event(
    Maintenance.EVENT,
    click.option("--code", type=click.Choice([*MAINTENANCE_CODES]), default=next(iter(MAINTENANCE_CODES))),
    click.option(
        "--state", type=click.Choice(MAINTENANCE_STATES), default=MAINTENANCE_STATES[0], help="Else it is history."
    ),
    click.option("--event-id", metavar="ID", help="Of an event that changes; default: a new one."),
    click.option("--description", metavar="TEXT"),
    click.option("--not-before", type=TIME, metavar="TIME", help="When it begins; default: when it comes."),
    click.option("--not-after", type=TIME, metavar="TIME", help="When it is over at the latest."),
    click.option("--not-before-deadline", type=TIME, metavar="TIME", help="Until when it may be put off."),
)
def _maintenance(**chosen: Any) -> dict[str, Any]:  # noqa: ANN401 - options as they are
    """Schedule an event of the host, or end one.

    \b
    imds simulate maintenance --code instance-stop --not-before 2026-01-31T12:00:00Z --event-id instance-event-1
    imds simulate maintenance --event-id instance-event-1 --state completed
    """
    times = {name: _text(chosen.pop(name)) for name in ("not_before", "not_after", "not_before_deadline")}
    return {**chosen, **times}


@_event(
    LifecycleState.EVENT,
    click.argument("state", type=click.Choice(LIFECYCLE_STATES), required=False, metavar="[STATE]"),
)
def _lifecycle(*, state: str | None) -> dict[str, Any]:
    """Let Auto Scaling bring the instance to STATE.

    InService, Standby, Detached, Terminated, or one of Warmed:Hibernated, Warmed:Running, Warmed:Stopped and
    Warmed:Terminated.

    \b
    imds simulate asg-lifecycle Terminated --in 10s
    """
    return {"state": state}


@_event(
    RoleChange.EVENT,
    click.argument("role", required=False),
    click.option("--detach", is_flag=True, help="Leave no role."),
)
def _role(*, role: str | None, detach: bool) -> dict[str, Any]:
    """Attach another ROLE of those that the instance allows, or none.

    \b
    imds simulate role audited
    imds simulate role --detach --in 30s
    """
    return {"role": role, "detach": detach or None}


@_event(
    TagChange.EVENT,
    click.argument("tags", nargs=-1, metavar="[KEY=VALUE]..."),
    click.option("--remove", multiple=True, metavar="KEY", help="Take a tag away."),
)
def _tag(*, tags: tuple[str, ...], remove: tuple[str, ...]) -> dict[str, Any]:
    """Change tags of the instance.

    \b
    imds simulate tag Environment=test --remove Owner
    """
    if wrong := [tag for tag in tags if "=" not in tag]:
        raise click.UsageError(f"{wrong[0]} has no value: write KEY=VALUE")
    given = dict(tag.split("=", 1) for tag in tags)
    return {"tags": {**given, **dict.fromkeys(remove)}}


@_event(
    Fault.EVENT,
    click.argument("fault", type=click.Choice(FAULTS), required=False),
    click.option("--for", "lasts", type=Duration(), help="How long; default: 1m, 1h at most."),
    click.option("--delay", type=Duration(), help="Of each answer, for latency."),
    click.option("--count", type=click.IntRange(1, MOST_REQUESTS), help="For so many requests at most."),
    click.option("--user", help="For the requests of this user only, a name or a uid."),
)
def _fault(
    *, fault: str | None, lasts: float | None, delay: float | None, count: int | None, user: str | None
) -> dict[str, Any]:
    """Let requests go wrong for a while.

    \b
    latency         each answer comes --delay later
    unavailable     503, as EC2 when it is asked too often
    throttled       429
    token-rejected  401 to every session token
    reset           the connection is reset
    no-role         the role vanishes
    expired         documents whose credentials are over, by their date (needs allow_faults: true)
    near-expiry     likewise, over in two minutes

    \b
    imds simulate fault latency --delay 800ms --for 30s
    imds simulate fault unavailable --count 3
    """
    return {"fault": fault, "for": lasts, "delay": delay, "count": count, "uid": user_id(user)}


def user_id(user: str | None) -> int | None:
    """Return the uid of a user, given by name or uid.

    Raises:
        UsageError: there is no such user.
    """
    if user is None or user.isdecimal():
        return int(user) if user is not None else None
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise click.UsageError(f"there is no user {user}") from error


def _text(moment: Any) -> str | None:  # noqa: ANN401 - what click.DateTime gives
    return timestamp(moment) if moment is not None else None
