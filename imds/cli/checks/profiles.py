"""Files that give this user's clients other credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imds.cli.checks.aws_files import ACCESS_KEY, read_sections
from imds.cli.checks.finding import edit, error
from imds.cli.checks.variables import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.aws_files import Section
    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation

RENAMED = "imds-source"
"""What a default profile may be called instead: clients do not look for that."""

KEPT = ("region", "output")
HARMLESS = re.compile(r"[a-z0-9-]+")
DEFAULT_SOURCES = frozenset({"the default credentials", "profile default"})
BOTO_SECRET = "aws_secret_access_key"  # noqa: S105 - a key's name


def default_profile(situation: Situation) -> Iterator[Finding]:
    """A default profile with credentials wins over a metadata service."""
    if situation.set(*PROFILES) and _is_good(situation):
        return  # clients use that one
    name = _free_name(situation)
    sources = {role["source"] for role in situation.contact.says("roles") or []}
    served = bool(sources & DEFAULT_SOURCES) or situation.contact.status is None
    then = f"; serve it by its new name (imds serve --profile {name}, or source: {{profile: {name}}})" if served else ""
    for section in situation.sections_of("default"):
        if (key := section.wins_by) is not None:
            yield error(
                f"the default profile's {section.shown} wins over the metadata service in every SDK: give the "
                f"profile another name{then}",
                where=section.where(key),
                fix=_rename(section, name),
            )


def boto_config(situation: Situation) -> Iterator[Finding]:
    """Botocore reads the files of its predecessor, too."""
    named = situation.environment.get("BOTO_CONFIG")
    for text in [named] if named else ["/etc/boto.cfg", "~/.boto"]:
        path = situation.path(text)
        for section in read_sections(path, file=situation.shown(path), config=False):
            if section.profile == "Credentials" and ACCESS_KEY in section.keys:
                lines = sorted(section.keys[key][0] for key in (ACCESS_KEY, BOTO_SECRET) if key in section.keys)
                yield error(
                    f"botocore takes the access key ({section.value(ACCESS_KEY)}) of boto's configuration before it "
                    "asks the metadata service",
                    where=section.where(ACCESS_KEY),
                    fix=edit(";".join(f"{line}s/^/#/" for line in lines), path),
                )


def _is_good(situation: Situation) -> bool:
    """Whether the profile that is named lets clients ask the metadata service."""
    sections = situation.sections_of(situation.profile)
    return bool(sections) and all(section.wins_by is None for section in sections)


def _free_name(situation: Situation) -> str:
    taken = {section.profile for section in situation.sections}
    names = (RENAMED, *(f"{RENAMED}-{number}" for number in range(2, 100)))
    return next((name for name in names if name not in taken), RENAMED)


def _rename(section: Section, name: str) -> str:
    """Return the command that gives a default profile another name, and leaves region and output as they are."""
    kept = [f"{key} = {section.value(key)}" for key in KEPT if HARMLESS.fullmatch(section.value(key))]
    lines = ["[default]", *kept, ""] if kept else []
    lines.append(f"[profile {name}]" if section.config else f"[{name}]")
    replacement = r"\n".join(lines)
    return edit(f"{section.line}s/.*/{replacement}/", section.path)
