"""Every rule, by theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.conformance.themes import (
    answers,
    container,
    credentials,
    guards,
    hostile,
    identity,
    listings,
    paths,
    sessions,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.conformance.rule import Rule, Theme

THEMES: tuple[Theme, ...] = (
    tokens.THEME,
    sessions.THEME,
    answers.THEME,
    paths.THEME,
    listings.THEME,
    credentials.THEME,
    identity.THEME,
    guards.THEME,
    hostile.THEME,
    container.THEME,
)


def rules() -> Iterator[Rule]:
    """Yield all rules, theme by theme."""
    for theme in THEMES:
        yield from theme.rules
