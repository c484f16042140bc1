"""What the documentation says of the program is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imds.config import notify, sources
from imds.config.imported_metadata import aemm_settings
from imds.conformance import themes
from imds.core import events, notices, templates

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)\)")


@pytest.mark.parametrize("kind", sources.KINDS)
def test_every_kind_of_source_has_its_row(kind: str) -> None:
    """The table of sources leaves none out, and each row links to a test."""
    rows = [line for line in (ROOT / "docs" / "sources.md").read_text().splitlines() if line.startswith("| ")]
    assert any(f"`{kind}:" in row.split("|")[1] and "../tests/" in row for row in rows)


def test_the_tests_that_the_table_names_are_there() -> None:
    """A link that is named after a test leads to a file that has it."""
    named = [link for link in LINK.findall((ROOT / "docs" / "sources.md").read_text()) if link[0].startswith("test_")]
    assert len(named) > len(sources.KINDS)
    for name, target in named:
        file = ROOT / "docs" / target
        assert name == file.stem or f"def {name}(" in file.read_text(), name


@pytest.mark.parametrize("key", aemm_settings.KEYS)
def test_every_setting_of_aemm_has_its_row(key: str) -> None:
    """Whoever comes from there finds what it is here, or that it is not."""
    rows = [line for line in (ROOT / "docs" / "aemm.md").read_text().splitlines() if line.startswith("| ")]
    assert any(f"`{key}`" in row or f"`--{key}`" in row for row in rows)


@pytest.mark.parametrize("name", templates.VARIABLES)
def test_the_page_of_the_metadata_names_every_variable(name: str) -> None:
    """Each stands there as it is written in a text."""
    assert f"`{{{name}}}`" in (ROOT / "docs" / "metadata.md").read_text()


@pytest.mark.parametrize("name", [*notices.VARIABLES, *notify.KINDS])
def test_the_page_of_notifications_has_a_row_for_it(name: str) -> None:
    """Every channel, and every name of a text, stands in its table."""
    rows = [
        line.split("|")[1] for line in (ROOT / "docs" / "notifications.md").read_text().splitlines() if line[:2] == "| "
    ]
    assert any(f"`{{{name}}}`" in row or f"`{name}:" in row or f"`{name}`" in row for row in rows)


@pytest.mark.parametrize(
    ("table", "name"), [*(("Events", name) for name in events.EVENTS), *(("Faults", name) for name in events.FAULTS)]
)
def test_the_page_of_the_metadata_has_a_row_for_it(table: str, name: str) -> None:
    """Every event and every fault is told of, in the table of its section."""
    section = (ROOT / "docs" / "metadata.md").read_text().partition(f"\n## {table}\n")[2].partition("\n## ")[0]
    assert re.search(rf"^\| `{name}[` ]", section, re.MULTILINE)


def test_every_verb_of_the_control_socket_has_its_row() -> None:
    """The page names every request that there is, and no other."""
    code = "".join((ROOT / "imds" / "web" / name).read_text() for name in ("control.py", "leases.py", "activations.py"))
    routes = re.findall(r'web\.(get|post|delete)\("(/v1/[^"]+)"', code)
    rows = re.findall(r"^\| `(GET|POST|DELETE) (/v1/\S+)` \|", (ROOT / "docs" / "control.md").read_text(), re.MULTILINE)
    assert sorted((method.upper(), path) for method, path in routes) == sorted(rows)


def test_the_page_of_the_conformance_suite_has_every_rule() -> None:
    """Its tables are the rules, word for word and in their order, and it counts them."""
    page = (ROOT / "docs" / "conformance.md").read_text()
    known = list(themes.rules())
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z0-9.-]+` \| (?:must|should)", line)]
    assert rows == [
        f"| `{rule.id}` | {rule.level}{', slow' if rule.slow else ''} | {rule.says} | {rule.source} |" for rule in known
    ]
    assert f"It has {len(known)} rules." in page
