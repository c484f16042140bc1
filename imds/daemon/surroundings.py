"""What a daemon finds around it when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a daemon finds around it.

    Attributes:
        environment: variables; ``NOTIFY_SOCKET``, ``AWS_REGION`` and their like.
        state_directory: where keys and tokens are kept; None keeps nothing.
        control_socket: None opens none.
        inherited: listening sockets handed over by systemd; with any, ``listen`` is not used.
        stored: descriptors that an earlier daemon left with systemd, by name.
        uid: our own user.
    """

    environment: Mapping[str, str]
    state_directory: Path | None
    control_socket: Path | None
    inherited: tuple[socket.socket, ...] = ()
    stored: Mapping[str, int] = field(default_factory=dict)
    uid: int
