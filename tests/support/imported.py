"""Import of metadata from files of others, and what holds of anything that is imported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imds.config.imported_metadata import imported_metadata
from imds.config.imported_metadata.draft import SIMULATED
from imds.core.instances import Overlay
from imds.core.paths import CREDENTIALS, is_below

DATA = Path(__file__).parents[1] / "data"
AEMM = json.loads((DATA / "aemm_config.json").read_text())
DESCRIBED = json.loads((DATA / "describe_instances.json").read_text())
RUNNING, TERMINATED = (reservation["Instances"][0] for reservation in DESCRIBED["Reservations"])
RUNNING_ID, TERMINATED_ID = RUNNING["InstanceId"], TERMINATED["InstanceId"]
MACS = "meta-data/network/interfaces/macs"
_SAFE = re.compile(r"(meta-data|dynamic)(/(?!\.{1,2}(/|\Z))[A-Za-z0-9+\-=.,_:@]+)+")


def check_imported(found: Overlay) -> None:
    """Check what holds of anything that is imported."""
    for path in found.texts:
        assert _SAFE.fullmatch(path)
        assert not is_below(path, *CREDENTIALS, *SIMULATED)
        assert not any(other.startswith(path + "/") for other in found.texts)
    said = "".join([*found.texts, *found.texts.values(), *found.notes, *map(str, found.document.values())])
    said.encode()
    assert "secretaccesskey" not in "".join(found.texts.values()).lower()
    assert all(note.isprintable() for note in found.notes)


def below(found: Overlay, directory: str) -> dict[str, str]:
    """Return the texts below a directory."""
    start = f"{directory}/"
    return {path.removeprefix(start): text for path, text in found.texts.items() if path.startswith(start)}


def imported(content: object, **arguments: str | None) -> Overlay:
    """Import a file that has a value in it."""
    return imported_metadata(json.dumps(content).encode(), **arguments)


def complaint(content: object, **arguments: str) -> str:
    """Return why a file cannot be imported."""
    with pytest.raises(ValueError, match=r"\w{2}") as caught:
        imported(content, **arguments)
    assert type(caught.value) is ValueError
    return str(caught.value)


def expected(found: Overlay) -> dict:
    """Return what was imported as the files of expected outcomes have it."""
    user_data = found.user_data.decode() if found.user_data is not None else None
    return {"texts": found.texts, "user_data": user_data, "document": found.document, "notes": list(found.notes)}
