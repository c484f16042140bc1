"""What is gathered from a file, and what it says altogether."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from imds.config.imported_metadata.json_values import shown
from imds.core.instances import Overlay
from imds.core.paths import AVAILABILITY_ZONE, INTERFACES, META_DATA
from imds.core.paths import REGION as REGION_PATH
from imds.core.patterns import ACCOUNT_ID, REGION, SEGMENT
from imds.core.templates import verbatim
from imds.core.timestamps import timestamp

SIMULATED = (f"{META_DATA}/spot", f"{META_DATA}/events", f"{META_DATA}/autoscaling")
MAX_PATH = 512
_DOCUMENT = {
    "imageId": f"{META_DATA}/ami-id",
    "instanceId": f"{META_DATA}/instance-id",
    "instanceType": f"{META_DATA}/instance-type",
    "kernelId": f"{META_DATA}/kernel-id",
    "privateIp": f"{META_DATA}/local-ipv4",
    "ramdiskId": f"{META_DATA}/ramdisk-id",
    "availabilityZone": AVAILABILITY_ZONE,
    "region": REGION_PATH,
}
"""Fields of the identity document that a path says too."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """Gathers what a file says of an instance.

    Attributes:
        texts: the text of each path below a version, such as ``meta-data/instance-id``, as it is served; none with
            credentials or simulated events.
        user_data: as ``/latest/user-data`` serves it; None where the file has none.
        document: fields of the instance identity document: text, null or, for product codes, a list of texts.
        notes: sentences about what of the file is not used, and what to do instead.
    """

    texts: dict[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    document: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, path: str, text: str | None) -> None:
        """Say what ``path`` answers; None says nothing.

        Raises:
            ValueError: another text is there already, or no such path can be.
        """
        if text is None:
            return
        if not is_safe(path):
            raise ValueError(f"{shown(path)} cannot be a path of the metadata service")
        if self.texts.setdefault(path, text) != text:
            raise ValueError(f"says twice what {path} is")

    def note(self, sentence: str) -> None:
        """Tell people something, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def finished(self) -> Overlay:
        """Return what the file says altogether: what follows from one part is said in the others too.

        Its texts are leaves only, none below another, and have no variables.
        """
        zone = REGION.match(self.texts.get(AVAILABILITY_ZONE, ""))
        if zone is not None:
            self.texts.setdefault(_DOCUMENT["region"], zone.group())
        self._complete_document()
        self._drop_listings()
        return Overlay(
            texts={path: verbatim(text) for path, text in self.texts.items()},
            user_data=self.user_data,
            document=self.document,
            notes=tuple(self.notes),
        )

    def _complete_document(self) -> None:
        paths = {**_DOCUMENT, "accountId": f"{INTERFACES}/{self.texts.get(f'{META_DATA}/mac')}/owner-id"}
        said = {name: self.texts[path] for name, path in paths.items() if path in self.texts}
        stated = {name: value for name, value in self.document.items() if value is not None}
        others = sorted(name for name, text in said.items() if stated.get(name, text) != text and name != "accountId")
        if others:
            self.note(f"the identity document has another {', '.join(others)} than the metadata: both stay as they are")
        self.document = {**said, **self.document}
        account = self.document.get("accountId")
        if isinstance(account, str) and not ACCOUNT_ID.fullmatch(account):
            self.note(f"the account {shown(account)} does not have twelve digits")

    def _drop_listings(self) -> None:
        """Drop each text that stands where there is a directory: directories list what is below them."""
        children: dict[str, set[str]] = {}
        for path in self.texts:
            parts = path.split("/")
            for depth in range(1, len(parts)):
                children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
        for path in [path for path in self.texts if path in children]:
            lines = {line.rstrip("/") for line in self.texts.pop(path).split("\n")}
            if not lines <= children[path]:
                self.note(f"the text of {path} is not used: there are paths below it, so it lists these")


def is_safe(path: str) -> bool:
    """Tell whether a path below a version is made of characters that IMDS has in its paths."""
    return len(path) <= MAX_PATH and all(SEGMENT.fullmatch(part) for part in path.split("/"))


def read_timestamp(text: str, place: str) -> str:
    """Return a moment of ISO 8601 as the identity document writes it, UTC and whole seconds.

    Raises:
        ValueError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo is not None else moment
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{place} must be a time such as 2026-11-25T10:00:00Z, not {shown(text)}") from error
    return timestamp(moment)
