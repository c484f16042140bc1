"""Files of ``imds service``: whose they are, what would be written, and which installation a service can run."""

from __future__ import annotations

import plistlib
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from imds.cli import service_agent
from imds.cli.service import command
from imds.host.service import installation, launchd
from imds.host.service.files import Condition, OurFile
from imds.host.service.installation import Installation, systemd_command, this_installation, why_not_of_the_system
from imds.host.service.units import Owner, system_scope, user_scope


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (("/opt/imds/bin/imds",), "/opt/imds/bin/imds"),
        (("/opt/a b/bin/python", "-P", "-m", "imds"), '"/opt/a b/bin/python" -P -m imds'),
        (("/opt/100%/$HOME/imds",), "/opt/100%%/$$HOME/imds"),
        (("/opt/it's/imds",), '"/opt/it\'s/imds"'),
        (('/opt/"\\/imds',), '"/opt/\\"\\\\/imds"'),
    ],
)
def test_a_command_as_systemd_reads_it(program: tuple[str, ...], line: str) -> None:
    """Blanks and quotes are quoted; specifiers and variables are not expanded."""
    assert systemd_command(program) == line


def test_conditions(tmp_path: Path) -> None:
    """A file is told from one that is missing, of another version, changed by hand, and somebody else's."""
    old, new = (OurFile(path=tmp_path / "d" / "imds.service", text=f"[Service]\nNice={n}\n") for n in (1, 2))
    assert new.condition() is Condition.MISSING
    old.write()
    assert (old.condition(), new.condition()) == (Condition.CURRENT, Condition.STALE)
    assert new.difference() == ["- Nice=1", "+ Nice=2"]
    old.path.write_text(old.content + "Nice=3\n")
    assert new.condition() is Condition.CHANGED
    old.path.write_text(old.text)
    assert new.condition() is Condition.FOREIGN
    old.path.unlink()
    old.path.symlink_to("/dev/null")  # systemctl mask
    assert new.condition() is Condition.FOREIGN


def test_a_file_is_for_all_to_read_whatever_the_umask(tmp_path: Path) -> None:
    """Units are 0644, and nothing else stays in their folder."""
    file = OurFile(path=tmp_path / "imds.socket", text="[Socket]\n")
    file.write()
    assert file.path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file.path]


def test_where_a_service_of_the_system_cannot_run_from(tmp_path: Path) -> None:
    """A home, a temporary directory and a folder that others may not read are each refused with what to do."""
    for path, said in (
        (Path("/home/alice/venv/bin/imds"), "below /home, and a service of the system sees no home"),
        (Path("/tmp/venv/bin/imds"), "below /tmp, which a service does not see"),  # noqa: S108 - to be refused
    ):
        why = why_not_of_the_system(Installation(program=(str(path),), needs=(path,)))
        assert why is not None
        assert said in why
        assert "/opt/imds" in why


def test_an_interpreter_in_a_home_is_found_behind_a_link(tmp_path: Path) -> None:
    """A virtual environment in /opt whose Python is one of /root is refused for that Python."""
    (link := tmp_path / "python").symlink_to("/root/versions/3.11/bin/python3.11")
    why = why_not_of_the_system(Installation(program=(str(link),), needs=(link.resolve(),)))
    assert why is not None
    assert why.startswith("/root/versions/3.11/bin/python3.11 is below /root")


def test_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program below a folder of mode 0700 is none for the service's own user."""
    monkeypatch.setattr(installation, "HIDDEN", ())
    (program := tmp_path / "closed" / "imds").parent.mkdir(mode=0o700)
    program.touch()
    why = why_not_of_the_system(Installation(program=(str(program),), needs=(program,)))
    assert why is not None
    assert "cannot be read by others" in why


def test_others_who_decide_what_runs(tmp_path: Path) -> None:
    """A program that others may write is named in a warning."""
    (program := tmp_path / "imds").touch()
    program.chmod(0o777)
    assert any(str(program) in line for line in installation.warnings(Installation(program=(), needs=(program,))))


def test_this_installation() -> None:
    """The program is the one that runs, as an absolute path."""
    program = this_installation().program
    assert Path(program[0]).is_absolute()
    assert Path(program[0]).exists()


def test_an_owner_with_a_home_elsewhere(tmp_path: Path) -> None:
    """It gets a drop-in with its paths; one below /home needs none, and another owner's goes."""
    scope = system_scope(tmp_path)
    far = Owner(name="far", home=Path("/srv/50%/far"))
    for file in scope.files(("/opt/imds",), far):
        file.write()
    drop_in = scope.folder / "imds@far.service.d" / "10-imds-home.conf"
    assert "Environment=HOME=/srv/50%%/far\n" in drop_in.read_text()
    assert scope.owner_name() == "far"
    (own := drop_in.with_name("override.conf")).write_text("[Service]\nNice=5\n")
    near = scope.files(("/opt/imds",), Owner(name="near", home=Path("/home/near")))
    assert scope.superfluous(near) == [drop_in]
    assert set(scope.superfluous(scope.files(("/opt/imds",)))) == {
        drop_in,
        scope.folder / "imds.socket.d/10-imds-owner.conf",
    }
    assert scope.drop_ins() == [own]
    assert own not in scope.ours()


def test_every_unit_has_the_program_in_it(tmp_path: Path) -> None:
    """No placeholder is left, and every service starts the program it was given."""
    for scope in (system_scope(tmp_path), user_scope({"HOME": str(tmp_path)})):
        for file in scope.files(("/opt/here/imds",)):
            assert "@program@" not in file.text
            if "imds serve" in file.text:
                command_line = next(line for line in file.text.splitlines() if line.startswith("ExecStart="))
                assert shlex.split(command_line.partition("=")[2])[:2] == ["/opt/here/imds", "serve"]


def test_an_agent_of_launchd(tmp_path: Path) -> None:
    """The property list is one, runs the program as it is, and is known again as ours."""
    content = launchd.agent(("/opt/imds/bin/imds",), tmp_path)
    told = plistlib.loads(content)
    assert told["ProgramArguments"] == ["/opt/imds/bin/imds", "serve"]
    assert (told["RunAtLoad"], told["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert launchd.is_ours(content)
    assert not launchd.is_ours(plistlib.dumps({"Label": launchd.LABEL}))
    assert not launchd.is_ours(b"no property list")


@pytest.mark.parametrize(
    "arguments", [["--user", "--for", "alice"], ["--user", "--machine"], ["--machine", "--for", "a"]]
)
def test_options_that_exclude_each_other(arguments: list[str]) -> None:
    """Whose service it is can be said once."""
    done = CliRunner().invoke(command, ["install", *arguments])
    assert done.exit_code == 2
    assert "Usage" in done.output


def test_the_life_of_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where launchd is, an agent is written and started, left alone when right, and taken away."""
    said = tmp_path / "said"
    (launchctl := tmp_path / "launchctl").write_text(f'#!/bin/sh\necho "$1 $2" >>{said}\n')
    launchctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(service_agent, "wanted", lambda: True)

    def imds_service(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, arguments)
        return done.exit_code, done.output

    path = launchd.agent_path(tmp_path)
    assert imds_service("install")[0] == 1, "only --user is there"
    assert f"write {path}" in imds_service("install", "--user", "--dry-run")[1]
    assert not path.exists()
    assert imds_service("install", "--user")[0] == 0
    assert launchd.is_ours(path.read_bytes())
    assert imds_service("status", "--user") == (0, f"{path}: loaded\nall is well\n")
    assert "as it should be" in imds_service("install", "--user")[1]
    path.write_bytes(plistlib.dumps({"Label": launchd.LABEL}))
    assert imds_service("install", "--user")[0] == 1, "somebody else's"
    assert imds_service("install", "--user", "--force")[0] == 0
    assert imds_service("uninstall", "--user")[0] == 0
    assert not path.exists()
    verbs = [line.split()[0] for line in said.read_text().splitlines()]
    assert verbs == ["bootstrap", "print", "bootout", "bootstrap", "bootout"]
