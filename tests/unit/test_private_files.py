"""Files that only the daemon's user may read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imds.core.errors import ConfigError
from imds.host import private_files


def mode(path: Path) -> int:
    """Return a path's permissions."""
    return path.stat().st_mode & 0o777


def test_what_is_written_is_read_and_private(tmp_path: Path) -> None:
    """Directory 0700, file 0600, content whole, nothing else left, whatever the umask."""
    path = tmp_path / "state" / "key"
    before = os.umask(0)
    try:
        private_files.write_private(path, b"one")
        private_files.write_private(path, b"two")
    finally:
        os.umask(before)
    assert private_files.read_private(path) == b"two"
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    """Nothing yet is no error."""
    assert private_files.read_private(tmp_path / "none") is None
    assert private_files.read_json(tmp_path / "none") is None


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_what_others_may_use_is_refused(tmp_path: Path, permissions: int) -> None:
    """Any permission for group or others, and the error says what to do."""
    path = tmp_path / "key"
    path.write_bytes(b"x")
    path.chmod(permissions)
    with pytest.raises(ConfigError, match=f"{permissions:04o}.*chmod 600"):
        private_files.read_private(path)


def test_links_directories_and_pipes_are_refused(tmp_path: Path) -> None:
    """A link is not followed, and only a plain file is read."""
    real = tmp_path / "real"
    private_files.write_private(real, b"x")
    link = tmp_path / "link"
    link.symlink_to(real)
    with pytest.raises(ConfigError, match="link"):
        private_files.read_private(link)
    with pytest.raises(ConfigError, match="not a plain file"):
        private_files.read_private(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="not a plain file"):
        private_files.read_private(tmp_path / "fifo")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    """Whoever could have written it could have chosen the key."""
    path = tmp_path / "key"
    private_files.write_private(path, b"x")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to uid 12345"):
        private_files.read_private(path)


def test_a_link_is_replaced_not_followed_when_writing(tmp_path: Path) -> None:
    """What a link points to stays as it is."""
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    path = tmp_path / "key"
    path.symlink_to(other)
    private_files.write_private(path, b"x")
    assert other.read_bytes() == b"mine"
    assert not path.is_symlink()


def test_a_write_that_fails_leaves_the_old_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs nothing that was there."""
    path = tmp_path / "key"
    private_files.write_private(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files.os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        private_files.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    """The operator learns which path it is."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file/key"):
        private_files.write_private(tmp_path / "file" / "key", b"x")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """It is kept across starts, and one of another length is made anew."""
    path = tmp_path / "state" / "key"
    made = private_files.key(path, 32)
    assert len(made) == 32
    assert private_files.key(path, 32) == made
    private_files.write_private(path, b"short")
    again = private_files.key(path, 32)
    assert len(again) == 32
    assert private_files.key(path, 32) == again


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1,"])
def test_damaged_json_is_as_none(tmp_path: Path, content: bytes) -> None:
    """All of it can be made anew."""
    path = tmp_path / "tokens.json"
    private_files.write_private(path, content)
    assert private_files.read_json(path) is None
    private_files.write_json(path, [{"a": 1}])
    assert private_files.read_json(path) == [{"a": 1}]
