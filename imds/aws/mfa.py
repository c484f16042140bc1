"""Codes of MFA devices: each is used once, whoever gives it, and never kept."""

from __future__ import annotations

import threading

from imds.core.errors import Action, CredentialsError


class MfaCodes:
    """Where a source takes the code that a person gave; any thread may.

    Args:
        device: its serial number or ARN, for people; None where only the profile knows it.
    """

    def __init__(self, device: str | None) -> None:
        self._device = device
        self._code: str | None = None
        self._lock = threading.Lock()

    def give(self, code: str) -> None:
        """Keep ``code`` for the next ``take``."""
        with self._lock:
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
            code, self._code = self._code, None
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
