"""Every place for sessions, as it is on this machine: what it takes, gives back and refuses."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from support.fakes import SECRET_ACCESS_KEY

from imds.core.errors import PlaceError
from imds.host.session_places import Entry, Surroundings, place
from imds.host.session_places.choosing import choose
from imds.host.session_places.file import SEALED
from imds.host.session_places.kernel_keyring import KernelKeyring
from imds.host.systemd import STORED, Notifier, keeps_descriptors

A, B = b'{"a":"' + SECRET_ACCESS_KEY.encode() + b'"}', b'{"b":2}'
KEY = b"0123456789abcdef0123456789abcdef\n"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")


def entries(**texts: bytes) -> dict[str, Entry]:
    """Return entries that live a minute."""
    return {role: Entry(text=text, lives=60) for role, text in texts.items()}


def same(texts: list[bytes]) -> set[bytes]:
    """Return texts without the spaces that JSON may have."""
    return {text.replace(b" ", b"") for text in texts}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Surroundings]:
    """Return what places are made of; a directory of one's own."""

    def surroundings(
        *, key: bytes | None = None, stored: dict[str, int] | None = None, insisted: bool = False, **environment: str
    ) -> Surroundings:
        file = tmp_path / "key"
        if key is not None:
            file.write_bytes(key)
            file.chmod(0o600)
        return Surroundings(
            directory=tmp_path / "state",
            environment=environment,
            notifier=Notifier(environment),
            stored=stored or {},
            key_file=file if key is not None else None,
            insisted=insisted,
        )

    return surroundings


class TestFile:
    """``file``."""

    @pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
    def test_it_holds_what_it_was_given_last(self, make: Callable[..., Surroundings], key: bytes | None) -> None:
        """Mode 0600 in a directory of mode 0700, whole each time; with a key no secret is in it."""
        around = make(key=key)
        kept = place("file", around)
        assert kept.read() == []
        kept.write(entries(app=A, other=B))
        kept.write(entries(app=A))
        assert same(place("file", around).read()) == {A}
        file = around.directory / "sessions"
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(around.directory.stat().st_mode)) == (0o600, 0o700)
        assert (SECRET_ACCESS_KEY.encode() in file.read_bytes()) is (key is None)
        assert [path.name for path in around.directory.iterdir()] == ["sessions"]
        kept.clear()
        assert not file.exists()

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
    def test_one_that_others_may_use_is_refused(self, make: Callable[..., Surroundings], mode: int) -> None:
        """It names the file and what to do."""
        place("file", make()).write(entries(app=A))
        (make().directory / "sessions").chmod(mode)
        with pytest.raises(PlaceError, match=r"sessions: others may use it \(mode 0\d+\): chmod 600 it"):
            place("file", make()).read()

    @as_root
    def test_one_of_another_user_is_refused(self, make: Callable[..., Surroundings]) -> None:
        """It says whose it is."""
        place("file", make()).write(entries(app=A))
        os.chown(make().directory / "sessions", 1, 1)
        with pytest.raises(PlaceError, match="belongs to uid 1"):
            place("file", make()).read()

    def test_a_link_is_refused(self, make: Callable[..., Surroundings], tmp_path: Path) -> None:
        """Nobody leads us elsewhere."""
        make().directory.mkdir()
        (tmp_path / "elsewhere").write_bytes(b"")
        (make().directory / "sessions").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PlaceError):
            place("file", make()).read()

    def test_a_directory_that_cannot_be_made_is_refused(self, make: Callable[..., Surroundings]) -> None:
        """Known at the start, not at the first session."""
        make().directory.write_text("a file")
        with pytest.raises(PlaceError, match="state"):
            place("file", make()).read()

    @pytest.mark.parametrize(
        ("before", "now", "why"),
        [
            (KEY, b"another-key-of-thirty-two-bytes-0", "another key"),
            (KEY, None, "is encrypted, and there is no key"),
            (None, KEY, "is not encrypted, although"),
        ],
    )
    def test_with_another_key_nothing_is_believed(
        self, make: Callable[..., Surroundings], before: bytes | None, now: bytes | None, why: str
    ) -> None:
        """What was written under other conditions is lost, and the next state is written under the new ones."""
        place("file", make(key=before)).write(entries(app=A))
        kept = place("file", make(key=now))
        with pytest.raises(ValueError, match=why):
            kept.read()
        kept.write(entries(app=B))
        assert same(kept.read()) == {B}

    @pytest.mark.parametrize("content", [b"x", SEALED, SEALED + b"x" * 11, SEALED + b"x" * 100, b"{}"])
    def test_damage_is_told(self, make: Callable[..., Surroundings], content: bytes) -> None:
        """Whatever stands in the file."""
        around = make(key=KEY if content.startswith(SEALED) else None)
        around.directory.mkdir()
        (around.directory / "sessions").write_bytes(content)
        (around.directory / "sessions").chmod(0o600)
        with pytest.raises(ValueError, match="damaged"):
            place("file", around).read()

    def test_a_key_from_systemd(self, make: Callable[..., Surroundings], tmp_path: Path) -> None:
        """A credential named sessions-key is taken without being asked for."""
        (tmp_path / "sessions-key").write_bytes(KEY)
        around = make(CREDENTIALS_DIRECTORY=str(tmp_path))
        place("file", around).write(entries(app=A))
        assert (around.directory / "sessions").read_bytes().startswith(SEALED)
        assert same(place("file", around).read()) == {A}
        with pytest.raises(ValueError, match="no key now"):
            place("file", make()).read()

    @pytest.mark.parametrize("key", [b"", b"short", b"x" * 31 + b"\n"])
    def test_a_key_too_short_is_refused(self, make: Callable[..., Surroundings], key: bytes) -> None:
        """A password is no key."""
        with pytest.raises(PlaceError, match=r"32 at least: openssl rand -base64 32"):
            place("file", make(key=key))

    def test_a_key_that_others_may_read_is_refused(self, make: Callable[..., Surroundings]) -> None:
        """Like every private file; one that is missing, too."""
        around = make(key=KEY)
        around.key_file.chmod(0o644)
        with pytest.raises(PlaceError, match="others may use it"):
            place("file", around)
        around.key_file.unlink()
        with pytest.raises(PlaceError, match="there is no"):
            place("file", around)

    def test_the_daemon_does_not_load_what_encrypts(self, make: Callable[..., Surroundings]) -> None:
        """The library with its megabytes lives in another program."""
        around = make(key=KEY)
        code = (
            "import sys\n"
            "from pathlib import Path\n"
            "from imds.host.session_places import Entry, Surroundings, place\n"
            "from imds.host.systemd import Notifier\n"
            "around = Surroundings(directory=Path(sys.argv[1]), environment={}, notifier=Notifier({}), stored={},"
            " key_file=Path(sys.argv[2]), insisted=True)\n"
            "kept = place('file', around)\n"
            "kept.write({'app': Entry(text=b'{}', lives=9)})\n"
            "print(kept.read(), 'cryptography' in sys.modules)\n"
        )
        command = [sys.executable, "-c", code, around.directory, around.key_file]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "[b'{}'] False\n"


def _keyring_works() -> bool:
    try:
        KernelKeyring("probe").read()
    except PlaceError:
        return False
    return True


@pytest.mark.skipif(not _keyring_works(), reason="this kernel, or this container, gives us no keyring")
class TestKernelKeyring:
    """``kernel_keyring``, for real."""

    @pytest.fixture
    def keyring(self) -> Iterator[KernelKeyring]:
        """A keyring for one state directory."""
        kept = KernelKeyring(f"test{os.getpid()}")
        yield kept
        kept.clear()

    def test_it_holds_what_it_was_given_last(self, keyring: KernelKeyring) -> None:
        """A key for each role; those of other state directories are others."""
        assert keyring.read() == []
        keyring.write(entries(app=A, other=A))
        keyring.write(entries(other=B, third=A))
        assert sorted(keyring.read()) == [A, B]
        assert KernelKeyring("elsewhere").read() == []
        KernelKeyring("elsewhere").clear()
        assert len(keyring.read()) == 2
        keyring.clear()
        assert keyring.read() == []

    def test_another_process_reads_it(self, keyring: KernelKeyring) -> None:
        """It outlives us, in a process with a session keyring of its own."""
        keyring.write(entries(app=A))
        code = (
            "import ctypes\n"
            f"ctypes.CDLL(None).syscall({keyring._keyctl}, 1, None)  # join a new session keyring, like a service\n"
            "from imds.host.session_places.kernel_keyring import KernelKeyring\n"
            f"print(len(KernelKeyring('test{os.getpid()}').read()))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "1\n"

    def test_a_key_ends_with_its_session(self, keyring: KernelKeyring) -> None:
        """The kernel forgets it, whether or not we are there."""
        keyring.write({"app": Entry(text=A, lives=0.2), "other": Entry(text=B, lives=60)})
        deadline = monotonic() + 10
        while keyring.read() != [B]:
            assert monotonic() < deadline
            sleep(0.05)  # the kernel's clock

    def test_a_session_too_large_is_told(self, keyring: KernelKeyring) -> None:
        """The kernel takes 32 KB for a key."""
        with pytest.raises(PlaceError, match="too large"):
            keyring.write(entries(app=b"x" * 40_000))

    def test_a_key_that_others_may_read_is_refused(self, keyring: KernelKeyring) -> None:
        """Somebody has opened it: KEYCTL_SETPERM."""
        keyring.write(entries(app=A))
        (found,) = keyring._keys()
        keyring._call(keyring._keyctl, 5, found[1], 0x3F010002)
        with pytest.raises(PlaceError, match="others may use it"):
            keyring.read()

    @as_root
    def test_another_user_cannot_read_it(self, keyring: KernelKeyring) -> None:
        """Each user has a keyring of its own, and a key's number alone opens nothing."""
        keyring.write(entries(app=A))
        (found,) = keyring._keys()
        code = (
            "import ctypes, os, sys\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            f"print(libc.syscall({keyring._keyctl}, 11, int(sys.argv[1]), None, 0), os.strerror(ctypes.get_errno()))\n"
        )
        command = [sys.executable, "-c", code, str(found[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "-1 Permission denied\n"

    def test_a_keyring_that_is_full_is_told(self) -> None:
        """A user has 20 kB; the errors of the kernel have words."""
        code = (
            "import os\n"
            "from imds.core.errors import PlaceError\n"
            "from imds.host.session_places import Entry\n"
            "from imds.host.session_places.kernel_keyring import KernelKeyring\n"
            "if os.getuid() == 0: os.setgid(64321); os.setuid(64321)\n"
            "kept = KernelKeyring('full')\n"
            "try: kept.write({str(n): Entry(text=b'x' * 30_000, lives=60) for n in range(900)})\n"
            "except PlaceError as error: print(error)\n"
            "kept.clear()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert "it is full: /proc/sys/kernel/keys/maxbytes" in done.stdout


class TestFdStore:
    """``fd_store``, with this test as systemd."""

    @pytest.fixture
    def manager(self, tmp_path: Path) -> Iterator[socket.socket]:
        """The manager's end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(str(tmp_path / "notify"))
            channel.settimeout(10)
            yield channel

    def test_the_newest_state_is_with_the_manager(
        self, make: Callable[..., Surroundings], tmp_path: Path, manager: socket.socket
    ) -> None:
        """A new sealed file each time, and the older taken back after it; the next daemon reads it."""
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "FDSTORE": "4"}
        kept = place("fd_store", make(**environment))
        assert kept.read() == []
        kept.write(entries(app=A))
        message, (first,), _, _ = socket.recv_fds(manager, 4096, 4)
        assert message.decode() == f"FDSTORE=1\nFDNAME={STORED}1"
        kept.write(entries(app=B))
        message, (second,), _, _ = socket.recv_fds(manager, 4096, 4)
        assert message.decode() == f"FDSTORE=1\nFDNAME={STORED}2"
        assert manager.recv(4096).decode() == f"FDSTOREREMOVE=1\nFDNAME={STORED}1"
        with pytest.raises(PermissionError):
            os.write(first, b"x")
        # killed before the older one was taken back: the higher number counts
        following = place("fd_store", make(stored={f"{STORED}1": first, f"{STORED}2": second}, **environment))
        assert same(following.read()) == {B}
        for fd in (first, second):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        following.write(entries())
        message, (third,), _, _ = socket.recv_fds(manager, 4096, 4)
        os.close(third)
        assert message.decode().endswith(f"FDNAME={STORED}3")
        assert {manager.recv(4096).decode().rpartition("=")[2] for _ in range(2)} == {f"{STORED}1", f"{STORED}2"}
        following.clear()
        assert manager.recv(4096).decode() == f"FDSTOREREMOVE=1\nFDNAME={STORED}3"

    @pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/x", "FDSTORE": "0"}, {"NOTIFY_SOCKET": "/x"}])
    def test_without_a_manager_that_keeps_them_there_is_none(
        self, make: Callable[..., Surroundings], environment: dict[str, str]
    ) -> None:
        """It says what the unit lacks."""
        with pytest.raises(PlaceError, match="FileDescriptorStoreMax=4"):
            place("fd_store", make(**environment))

    def test_a_manager_that_cannot_be_asked_is_believed_when_named(self, make: Callable[..., Surroundings]) -> None:
        """An older systemd without a bus: the operator knows."""
        assert keeps_descriptors({"NOTIFY_SOCKET": "/x"}) is None
        assert place("fd_store", make(insisted=True, NOTIFY_SOCKET="/x")).read() == []
        with pytest.raises(PlaceError):
            place("fd_store", make(insisted=True))

    def test_a_manager_that_does_not_listen_is_told(self, make: Callable[..., Surroundings]) -> None:
        """Nothing is thought to be kept that is not."""
        kept = place("fd_store", make(NOTIFY_SOCKET="/nowhere", FDSTORE="4"))
        with pytest.raises(PlaceError, match="does not take"):
            kept.write(entries(app=A))

    def test_what_was_left_damaged_is_told(self, make: Callable[..., Surroundings]) -> None:
        """Not a bundle, or not even a file."""
        end, other = os.pipe()
        os.close(other)
        empty = os.memfd_create("x")
        for fd in (end, empty):
            kept = place("fd_store", make(stored={f"{STORED}1": fd}, NOTIFY_SOCKET="/nowhere"))
            with pytest.raises(ValueError, match=r"damaged|cannot be read"):
                kept.read()


class TestChoosing:
    """``persist_sessions`` as a list."""

    def test_the_first_that_works(self, make: Callable[..., Surroundings]) -> None:
        """What was passed over is told with its reason."""
        chosen = choose(("fd_store", "file", "none"), make())
        assert chosen.name == "file"
        assert re.match("fd_store: systemd keeps no", chosen.refused[0])

    def test_none_that_works(self, make: Callable[..., Surroundings]) -> None:
        """Nothing is kept, and the reasons are there."""
        chosen = choose(("fd_store",), make())
        assert (chosen.name, chosen.place, len(chosen.refused)) == (None, None, 1)

    @pytest.mark.parametrize("names", [("none",), ("fd_store", "none")])
    def test_what_is_kept_elsewhere_is_given_up(
        self, make: Callable[..., Surroundings], names: tuple[str, ...]
    ) -> None:
        """A file of before is removed, and descriptors are closed: a configuration that keeps nothing keeps nothing."""
        place("file", make()).write(entries(app=A))
        fd = os.memfd_create("x") if names == ("none",) else None
        choose(names, make(stored={f"{STORED}1": fd} if fd is not None else {}))
        assert not (make().directory / "sessions").exists()
        if fd is not None:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    def test_a_file_that_is_refused_stays(self, make: Callable[..., Surroundings]) -> None:
        """It is the operator's to mend."""
        place("file", make()).write(entries(app=A))
        file = make().directory / "sessions"
        file.chmod(0o644)
        assert choose(("file", "none"), make()).name is None
        assert file.exists()

    def test_damage_is_no_refusal(self, make: Callable[..., Surroundings]) -> None:
        """The place is good for the next session."""
        make().directory.mkdir()
        (make().directory / "sessions").write_bytes(b"x")
        (make().directory / "sessions").chmod(0o600)
        chosen = choose(("file",), make())
        assert (chosen.name, chosen.texts, chosen.refused) == ("file", (), ())
        assert "damaged" in chosen.damaged
