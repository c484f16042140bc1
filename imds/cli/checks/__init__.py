"""What ``imds doctor`` looks for: one function for each finding, which is called after it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imds.cli.checks import address, containers, daemon, endpoint, files, profiles, units, variables
from imds.cli.checks.finding import warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation

LONGEST = 2.0
"""Seconds for which one check may keep a person waiting."""

CHECKS: Final[tuple[Callable[[Situation], Iterator[Finding]], ...]] = (
    daemon.no_daemon,
    variables.environment_keys,
    variables.environment_profile,
    variables.missing_profile,
    profiles.default_profile,
    variables.web_identity_variables,
    variables.container_variables,
    variables.container_token,
    variables.bearer_token,
    variables.credential_file,
    profiles.boto_config,
    variables.metadata_disabled,
    variables.v1_disabled,
    endpoint.endpoint_malformed,
    endpoint.endpoint_path,
    endpoint.endpoint_slash,
    endpoint.endpoint_elsewhere,
    endpoint.endpoint_mode,
    variables.proxy,
    address.address_missing,
    address.other_metadata_service,
    address.port_taken,
    address.someone_else_answers,
    address.address_unused,
    address.no_answer,
    daemon.refused_by_rules,
    daemon.no_role,
    daemon.endpoint_disabled,
    daemon.role_unavailable,
    daemon.wrong_clock,
    daemon.v1_only_clients,
    daemon.simulated,
    daemon.wrong_configuration,
    daemon.other_version,
    daemon.audit_log,
    daemon.open_files,
    containers.container_hop_limit,
    containers.container_refused,
    containers.engine_unreachable,
    files.state_directory,
    files.control_directory,
    files.control_socket,
    units.stale_unit,
)


def name_of(check: Callable[[Situation], Iterator[Finding]]) -> str:
    """Return what a check's findings are called."""
    return check.__name__.replace("_", "-")


NOT_CHECKED = "not-checked"


def findings(situation: Situation) -> Iterator[tuple[str, Finding]]:
    """Yield everything that is wrong, each with its name."""
    for check in CHECKS:
        for found in _within_time(check, situation):
            name = name_of(check) if found[1] else NOT_CHECKED
            yield name, replace(found[0], fix=found[0].fix.replace("sudo ", "")) if situation.uid == 0 else found[0]


def _within_time(
    check: Callable[[Situation], Iterator[Finding]], situation: Situation
) -> Iterator[tuple[Finding, bool]]:
    """Yield what a check finds; where it takes too long or fails itself, that."""
    found: list[Finding] = []
    mistakes: list[Exception] = []

    def look() -> None:
        try:
            found.extend(check(situation))
        except Exception as mistake:  # noqa: BLE001 - one check's mistake must not hide what the others find
            mistakes.append(mistake)

    thread = threading.Thread(target=look, daemon=True)  # one that hangs does not keep the process
    thread.start()
    thread.join(LONGEST)
    for one in found:
        yield one, True
    if thread.is_alive() or mistakes:
        why = f"takes more than {LONGEST:g} s" if thread.is_alive() else f"failed ({type(mistakes[0]).__name__})"
        yield (
            warning(f"the check {name_of(check)} {why}", where=name_of(check), fix="imds doctor"),
            False,
        )
