"""What files say, from one daemon to the next."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imds.host.fingerprints import fingerprint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a device")
def test_a_device_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    """``/dev/null`` of a service with a ``/dev`` of its own is another node at each start, and says the same."""
    seen = []
    for number in (1, 2):
        null = tmp_path / "null"
        null.unlink(missing_ok=True)
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.utime(null, (number, number))
        seen.append(fingerprint([null]))
    assert seen[0] == seen[1]
    assert fingerprint([tmp_path / "missing"]) != seen[0]


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """Made anew with the same text it is the same; another text is another file."""
    file, seen = tmp_path / "file", []
    for text in ("one", "one", "two"):
        file.unlink(missing_ok=True)
        file.write_text(text)
        seen.append(fingerprint([file]))
    assert seen[0] == seen[1] != seen[2]
