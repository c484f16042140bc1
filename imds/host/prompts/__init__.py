"""Ways to ask a person, or a program in his place, for a few characters: bounded in time, one program each."""

from __future__ import annotations

from dataclasses import dataclass

from imds.core.errors import ImdsError


class PromptFailedError(ImdsError):
    """It could not be asked this way; says why, and what would help."""


class UnansweredError(ImdsError):
    """It was asked, and nobody answered: cancelled, or left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a dialog shows.

    Attributes:
        title: of its window.
        text: one or two sentences, plain; each dialog makes of it what its own rules need.
        label: of the field.
        seconds: after which an answer is not waited for any more.
    """

    title: str
    text: str
    label: str
    seconds: float
