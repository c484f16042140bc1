"""Where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

from imds.host import places

USER = {"HOME": "/home/a", "XDG_RUNTIME_DIR": "/run/user/1"}
SERVICE = {"STATE_DIRECTORY": "/var/lib/imds:/x", "RUNTIME_DIRECTORY": "/run/imds:/y", "HOME": "/root"}
STATE = "/home/a/.local/state/imds"


@pytest.mark.parametrize(
    ("environment", "state", "socket"),
    [
        (USER, STATE, "/run/user/1/imds/control.sock"),
        (USER | {"XDG_STATE_HOME": "/s"}, "/s/imds", "/run/user/1/imds/control.sock"),
        (SERVICE, "/var/lib/imds", "/run/imds/control.sock"),
        ({"HOME": "/home/a"}, STATE, f"{STATE}/control.sock"),
        (USER | {"IMDS_CONTROL_SOCKET": "/tmp/x"}, STATE, "/tmp/x"),  # noqa: S108 - a name
        ({}, "/.local/state/imds", "/.local/state/imds/control.sock"),
    ],
)
def test_state_and_socket(environment: dict[str, str], state: str, socket: str) -> None:
    """What is named wins, then systemd's directories, then the user's."""
    assert places.state_directory(environment) == Path(state)
    assert places.control_socket(environment) == Path(socket)


def test_a_command_looks_for_the_users_daemon_first() -> None:
    """Then where there is no runtime directory, then for the system's; a named socket is the only one."""
    looked = [str(path) for path in places.control_sockets(USER)]
    assert looked == ["/run/user/1/imds/control.sock", f"{STATE}/control.sock", "/run/imds/control.sock"]
    assert places.control_sockets(USER | {"IMDS_CONTROL_SOCKET": "/s"}) == [Path("/s")]
    assert len(places.control_sockets({"HOME": "/home/a"})) == 2
    served = places.control_sockets(USER | {"USER": "a"})
    assert [str(path) for path in served[-2:]] == ["/run/imds-a/control.sock", "/run/imds/control.sock"]
    assert not any("imds-" in str(path) for path in places.control_sockets(USER | {"USER": "../a"}))


def test_the_configuration_is_found(tmp_path: Path) -> None:
    """A named file is taken whether it exists or not, the user's where it is."""
    environment = {"HOME": str(tmp_path)}
    mine = tmp_path / ".config" / "imds" / "config.yaml"
    assert places.find_config(environment) in (None, places.SYSTEM_CONFIG)
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    assert places.find_config(environment) == mine
    assert places.find_config(environment | {"IMDS_CONFIG": "/none.yaml"}) == Path("/none.yaml")
    assert places.find_config({"HOME": "/none", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == mine


@pytest.mark.parametrize(
    ("path", "home", "shown"),
    [
        ("/home/a/x", "/home/a", "~/x"),
        ("/home/a/x", "/home/a/", "~/x"),
        ("/home/ab/x", "/home/a", "/home/ab/x"),
        ("/home/a/x", "", "/home/a/x"),
    ],
)
def test_tilde(path: str, home: str, shown: str) -> None:
    """A path below the home directory is shown short, its neighbour is not."""
    assert places.tilde(Path(path), {"HOME": home} if home else {}).replace("~x", "~/x") == shown
