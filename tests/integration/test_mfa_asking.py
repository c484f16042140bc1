"""MFA codes that the daemon asks for itself: by programs, seeds and dialogs, in time, once, each code once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.desktop import Desktop, needs_keyring
from support.machine import Client, eventually

DEVICE = "arn:aws:iam::111122223333:mfa/me"
CODE = "918273"
LIST = "/latest/meta-data/iam/security-credentials/"


def device(home: Path, sts, asking: str, *names: str, extra: str = "", **environment: str) -> DaemonProcess:
    """Return a daemon with several roles of one device whose code is asked for as ``asking`` says."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    plain = f"{{profile: keys, mfa_serial: '{DEVICE}'}}"
    source = f"{{profile: keys, mfa_serial: '{DEVICE}', {asking}}}"
    arn = "arn:aws:iam::111122223333:role"
    names = names or ("app", "two")
    roles = "".join(
        f"  {name}: {{role_arn: '{arn}/{name}', source: {source if name == names[0] else plain}}}\n" for name in names
    )
    text = f"listen: ['http://127.0.0.1:0']\nregion: eu-west-1\nroles:\n{roles}{extra}"
    config = write_config(home / "imds.yaml", text)
    environment = {"AWS_ENDPOINT_URL_STS": sts.url} | environment
    return DaemonProcess(home, "serve", "--config", str(config), environment=environment)


def role(served: DaemonProcess, name: str = "app") -> dict:
    """Return a role of ``imds status``."""
    return next(one for one in served.status()["roles"] if one["name"] == name)


def given(sts) -> list[tuple[str, str]]:
    """Return device and code of every GetSessionToken."""
    return [(call["SerialNumber"], call["TokenCode"]) for call in sts.calls if call["Action"] == "GetSessionToken"]


def assumed(sts) -> list[str]:
    """Return the roles that were assumed."""
    return [call["RoleArn"].rpartition("/")[2] for call in sts.calls if call["Action"] == "AssumeRole"]


class Printer:
    """A program that prints another code each time, as a token does; ``argument`` is for the configuration."""

    def __init__(self, home: Path, *, before: str = "") -> None:
        self._runs = home / "runs"
        script = home / "print-code.py"
        script.write_text(
            "import pathlib, sys\n"
            f"runs = pathlib.Path({str(self._runs)!r})\n"
            "number = len(runs.read_text()) if runs.exists() else 0\n"
            "runs.write_text('x' * (number + 1))\n"
            f"{before}\n"
            "assert sys.stdin.read() == ''\n"
            "print(f'aws:me  {100000 + number}')\n"
        )
        self.argument = f"mfa_command: [{sys.executable}, {script}]"

    @property
    def runs(self) -> int:
        """How often it was run."""
        return len(self._runs.read_text()) if self._runs.exists() else 0


def test_a_program_gives_one_code_for_all_roles(home, sts):
    """Nobody is asked where a program prints the code: one GetSessionToken, every role, and no code in the log."""
    printer = Printer(home)
    with device(home, sts, printer.argument) as served:
        eventually(lambda: role(served, "two")["state"] == role(served)["state"] == "ok")
        assert wire.get(served.address, LIST).status == 200
        assert "100000" not in served.log
    assert given(sts) == [(DEVICE, "100000")]
    assert sorted(assumed(sts)) == ["app", "two"]


def later(served: DaemonProcess, sts, clocks, hours: float) -> None:
    """Let the machine have been asleep, and its first client wake everybody."""
    clocks.suspend(timedelta(hours=hours))
    sts.ahead = clocks.ahead
    Client(served).list()


def test_a_code_is_asked_for_before_the_end(home, sts, clocks):
    """With the lead left another code renews the session early and the roles from it; before that nobody is asked."""
    printer = Printer(home)
    with device(home, sts, f"{printer.argument}, mfa_lead: 2h", **clocks.environment) as served:
        eventually(lambda: role(served)["state"] == "ok")
        later(served, sts, clocks, 9)
        eventually(lambda: all(role(served, name)["remaining_seconds"] > 3000 for name in ("app", "two")))
        assert printer.runs == 1
        later(served, sts, clocks, 1.1)
        eventually(lambda: len(given(sts)) == 2)
        eventually(lambda: role(served)["mfa"]["until"] is not None and not role(served)["mfa"]["asked"])
        eventually(lambda: len({call["AccessKeyId"] for call in sts.calls[-2:]}) == 1)
        eventually(lambda: role(served)["state"] == role(served, "two")["state"] == "ok")
    assert given(sts) == [(DEVICE, "100000"), (DEVICE, "100001")]


def test_a_code_given_early_renews_early(home, sts):
    """Whoever gives a code while the session lives renews it with one call; the same code again is refused by us."""
    with device(home, sts, "mfa_remind: none") as served:
        served.imds("mfa", "app", CODE)
        eventually(lambda: role(served)["state"] == "ok")
        again = served.imds("mfa", "two", CODE, check=False)
        assert again.returncode == 1
        assert "has been used" in again.stderr
        assert len(given(sts)) == 1
        assert role(served)["state"] == "ok", "the session that lives is not touched"
        before = role(served)["access_key_id"]
        assert served.imds("mfa", "app", "123123").stdout == "accepted, for app, two\n"
        eventually(lambda: role(served)["access_key_id"] != before)
        assert CODE not in served.log
    assert [code for _, code in given(sts)] == [CODE, "123123"]
    assert sorted(assumed(sts)) == ["app", "app", "two", "two"]


def test_it_is_asked_once_and_again_after_the_reminder(home, sts, clocks):
    """A program that has no code is run once; again after mfa_remind, or when somebody says that it may help now."""
    printer = Printer(home, before="sys.exit(3) if number < 3 else None")
    with device(home, sts, f"{printer.argument}, mfa_remind: 1h", **clocks.environment) as served:
        problem = eventually(lambda: role(served)["mfa"]["problem"])
        assert problem.endswith("ended with status 3: run it by hand to see why")
        for _ in range(20):  # a retry storm of clients, while it waits
            assert wire.get(served.address, LIST).status == 404
        later(served, sts, clocks, 0.9)
        assert printer.runs == 1
        later(served, sts, clocks, 0.2)
        eventually(lambda: printer.runs == 2)
        served.imds("refresh", "app", check=False)
        eventually(lambda: printer.runs == 3)
        assert given(sts) == []
        served.imds("reload")
        eventually(lambda: role(served)["state"] == "ok")
    assert [code for _, code in given(sts)] == ["100003"]


def test_after_a_fault_of_aws_a_program_gives_the_next_code(home, sts, clocks):
    """The code that met a fault is not sent again; a minute later the program is asked for another."""
    printer = Printer(home)
    sts.behaviour = stand_in.error("ServiceUnavailable", status=503)
    with device(home, sts, printer.argument, **clocks.environment) as served:
        eventually(lambda: "ServiceUnavailable" in (role(served)["mfa"]["problem"] or ""))
        sts.behaviour = None
        later(served, sts, clocks, 0.02)
        eventually(lambda: role(served)["state"] == "ok")
    assert [code for _, code in given(sts)] == ["100000", "100001"]


def test_a_code_that_aws_refuses_is_not_followed_by_others(home, sts):
    """A program's wrong code is sent once, and its refusal shown; nothing is tried by itself after that."""
    printer = Printer(home)
    bad = "MultiFactorAuthentication failed with invalid MFA one time pass code."
    sts.behaviour = stand_in.error("AccessDenied", bad, status=403)
    with device(home, sts, printer.argument) as served:
        assert bad in eventually(lambda: role(served)["mfa"]["problem"])
    assert (printer.runs, len(given(sts))) == (1, 1)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("[/bin/sh, -c, 'echo 12345']", "sh: printed no code of six digits"),
        ("[/bin/sh, -c, 'echo 1234567']", "sh: printed no code of six digits"),
        ("[/bin/sh, -c, 'echo 123456 654321']", "sh: printed more than one code of six digits"),
        ("[/bin/sh, -c, 'yes']", "sh: it wrote over 65536 bytes"),
        ("[no-such-program]", "no-such-program: there is no program no-such-program"),
        ("[/etc/passwd]", "passwd: there is no program /etc/passwd"),
    ],
)
def test_programs_without_a_code(home, sts, command, problem):
    """What a program did wrong is shown, nothing is sent, and the roles wait for a person."""
    with device(home, sts, f"mfa_command: {command}") as served:
        assert eventually(lambda: role(served)["mfa"]["problem"]) == problem
        assert problem in served.imds("status").stdout
        assert role(served)["state"] == "waiting"
        assert sts.calls == []


def test_a_program_that_hangs_is_ended_with_its_children_when_a_code_comes(home, sts):
    """Who gives a code meanwhile is served at once; the program and what it started are gone."""
    child = home / "child"
    script = f"sleep 600 & echo $! > {child}; wait"
    with device(home, sts, f"mfa_command: [/bin/sh, -c, '{script}']") as served:
        pid = int(eventually(lambda: child.exists() and child.read_text()))
        assert role(served)["mfa"]["way"] == "sh"
        served.imds("mfa", "app", CODE)
        eventually(lambda: role(served)["state"] == "ok")
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        assert role(served)["mfa"]["way"] is None
    assert given(sts) == [(DEVICE, CODE)]


@pytest.mark.parametrize("flavour", ["pinentry-tty", "pinentry-curses"])
def test_pinentry_on_a_terminal(home, sts, flavour):
    """A real pinentry asks on the terminal that GPG_TTY names; what is typed there opens the roles."""
    programs = {name: shutil.which(name) for name in (flavour, "tmux")}
    if None in programs.values():
        pytest.skip(f"needs {' and '.join(programs)}")
    (home / "bin").mkdir()
    (home / "bin" / "pinentry").symlink_to(programs[flavour])
    tmux = ["tmux", "-S", str(home / "tmux")]
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", "exec sleep 600"], check=True)
    try:
        asked = [*tmux, "display-message", "-p", "#{pane_tty}"]
        terminal = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        environment = {"PATH": f"{home}/bin:/usr/bin:/bin", "GPG_TTY": terminal, "TERM": "screen"}

        def screen() -> str:
            return subprocess.run([*tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout

        with device(home, sts, "mfa_prompt: [pinentry]", **environment) as served:
            eventually(lambda: "MFA code:" in screen())
            assert "arn:aws:iam::111122223333:mfa/me" in screen().replace("\n", "")
            assert role(served)["mfa"]["way"] == "pinentry"
            subprocess.run([*tmux, "send-keys", CODE, "Enter"], check=True)
            eventually(lambda: role(served)["state"] == "ok")
            assert CODE not in served.log + screen()
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    assert given(sts) == [(DEVICE, CODE)]


def test_a_dialog_of_the_desktop(home, sts):
    """A real zenity opens where DISPLAY says; what is no code is asked for again, and Escape is heard."""
    programs = ("zenity", "Xvfb", "xdotool", "openbox")
    if not all(map(shutil.which, programs)):
        pytest.skip(f"needs {', '.join(programs)}")
    with ExitStack() as stack:

        def start(*command: str, **more) -> subprocess.Popen:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **more)
            stack.callback(lambda: (process.terminate(), process.wait()))
            return process

        screen = start("Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", stdout=subprocess.PIPE)
        stack.callback(screen.stdout.close)
        display = f":{screen.stdout.readline().decode().strip()}"
        around = {"DISPLAY": display, "PATH": "/usr/bin:/bin"}
        start("openbox", env=around | {"HOME": str(home)}, stdout=subprocess.DEVNULL)

        def xdotool(*words: str) -> str:
            done = subprocess.run(
                ["xdotool", *words], env=around, capture_output=True, text=True, timeout=10, check=False
            )
            return done.stdout

        def in_dialog(*keys: str) -> None:
            window = eventually(lambda: xdotool("search", "--onlyvisible", "--name", "imds: MFA code").strip())
            xdotool("windowfocus", window)
            eventually(lambda: xdotool("getwindowfocus").strip() == window)
            xdotool("key", "--delay", "40", *keys)

        served = stack.enter_context(device(home, sts, "mfa_prompt: [desktop]", **around))
        in_dialog("Escape")
        eventually(lambda: role(served)["mfa"]["problem"] == "desktop: it was cancelled")
        served.imds("refresh", "app", check=False)
        in_dialog("1", "2", "Return")
        eventually(lambda: role(served)["mfa"]["problem"] == "desktop: that was no code of six digits")
        in_dialog(*CODE, "Return")
        eventually(lambda: role(served)["state"] == "ok")
    assert given(sts) == [(DEVICE, CODE)]


def test_no_display(home, sts):
    """Where no dialog can be opened the reason is shown, with what helps; nothing else is held up."""
    with device(home, sts, "mfa_prompt: [desktop]", PATH="/nowhere") as served:
        assert "there is no display here" in eventually(lambda: role(served)["mfa"]["problem"])
        assert "systemctl --user import-environment" in served.imds("status").stdout


@needs_keyring
def test_a_seed_in_the_keyring(home, sts):
    """Codes are made of the seed that the desktop's keyring has; without one the status says how to put it there."""
    with Desktop(home) as desktop, device(home, sts, "mfa_totp: keyring", **desktop.environment) as served:
        assert "keyring set imds" in eventually(lambda: role(served)["mfa"]["problem"])
        store = "import sys, keyring; keyring.set_password('imds', sys.argv[1], 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ')"
        command = [sys.executable, "-c", store, f"mfa-seed {DEVICE}"]
        subprocess.run(command, env=served.environment, check=True, timeout=30)
        served.imds("refresh", "app", check=False)
        eventually(lambda: role(served)["state"] == "ok")
    ((device_of, code),) = given(sts)
    assert (device_of, len(code)) == (DEVICE, 6)


def test_who_is_to_know_is_told(home, sts):
    """A role that waits for a code is told over the channels of notify, once, with what to run."""
    program = home / "tell"
    program.write_text(f"#!/bin/sh\ncat >> {home}/told\nprintf '\\n' >> {home}/told\n")
    program.chmod(0o755)
    with device(home, sts, "mfa_remind: none", extra=f"notify: [{{command: [{program}]}}]\n") as served:
        told = home / "told"
        eventually(lambda: told.exists() and told.read_text().endswith("\n"))
        line = told.read_text().splitlines()[0]
        notice = json.loads(line)
        assert (notice["event"], notice["role"]) == ("waiting", "app")
        assert "imds mfa app" in notice["because"]
        served.imds("mfa", "app", CODE)
        eventually(lambda: role(served)["remaining_seconds"] > 0)
        assert told.read_text().count('"waiting"') == 1
