"""Codes of MFA devices: each is used once, whoever gives it."""

from __future__ import annotations

import threading
from collections import deque

from imds.core.errors import Action, CredentialsError

REMEMBERED = 16
"""Used codes of a device that are known again; AWS forgets no code of the last minutes either."""


class UsedCodes:
    """The last codes of one device that AWS was given; worth nothing to anybody any more."""

    def __init__(self) -> None:
        self._codes: deque[str] = deque(maxlen=REMEMBERED)

    def __contains__(self, code: str) -> bool:
        return code in self._codes

    def add(self, code: str) -> None:
        """Know ``code`` from now on."""
        self._codes.append(code)


class MfaCodes:
    """Where a source takes the code that a person gave; any thread may.

    Args:
        device: its serial number or ARN, for people; None where only the profile knows it.
        used: those of the device, which several sources may share.

    Attributes:
        asked_for: whether the source has ever wanted one.
    """

    def __init__(self, device: str | None, used: UsedCodes | None = None) -> None:
        self._device = device
        self._code: str | None = None
        self._lock = threading.Lock()
        self.used = used or UsedCodes()
        self.asked_for = False

    def give(self, code: str) -> None:
        """Keep ``code`` for the next ``take``.

        Raises:
            CredentialsError: it has been used; AWS would refuse it, and is not asked.
        """
        with self._lock:
            if code in self.used:
                raise CredentialsError(
                    "MFACodeUsed",
                    "this MFA code has been used: wait for the next one, AWS takes each once",
                    action=Action.REAUTHENTICATE,
                )
            self._code = code

    def forget(self) -> bool:
        """Drop a code that nobody took; return whether there was one."""
        with self._lock:
            left, self._code = self._code, None
        return left is not None

    def take(self) -> str:
        """Return the code, which is gone then.

        Raises:
            CredentialsError: a person must give one first.
        """
        with self._lock:
            self.asked_for = True
            code, self._code = self._code, None
            if code is not None:
                self.used.add(code)
        if code is None:
            of = f" of {self._device}" if self._device else ""
            raise CredentialsError(
                "MFARequired",
                f"an MFA code{of} is asked for",
                action=Action.REAUTHENTICATE,
                waits_for=f"an MFA code{of}: imds mfa {{role}} CODE",
            )
        return code


class NoMfaCodes(MfaCodes):
    """For keys that a session is made of: the session's device is asked for a code, never theirs."""

    def __init__(self) -> None:
        super().__init__(None)

    def take(self) -> str:
        """Refuse.

        Raises:
            CredentialsError: always; the configuration must change.
        """
        raise CredentialsError(
            "NotLongTermKeys",
            "the profile assumes a role with an MFA code of its own, and AWS makes such a session of an IAM user's "
            "long-term keys only: leave mfa_serial out, or name the source_profile of that profile",
            action=Action.CONFIG,
        )
