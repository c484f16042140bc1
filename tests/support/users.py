"""Other users of this host."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Own the sockets that are made meanwhile as another user does; needs root."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
