"""nftables' tables: the guard, the redirection, and what keeps a container's address from being hidden."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.addresses import INSTANCE_METADATA, INSTANCE_METADATA_6, PORT
from imds.host.addresses.things import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

GUARD = Table("imds")
"""Named in its file, which the systemd units load too."""

REDIRECT, SOURCE = Table("imds_redirect"), Table("imds_source")
GUARD_FILE = Path(__file__).parents[1] / "service" / "system" / "guard.nft"
_TRUSTED = re.compile(r"elements = \{(.*?)\}")


def guard() -> str:
    """Return the guard's text."""
    return GUARD_FILE.read_text()


def is_trusted(device: str) -> bool:
    """Whether the guard lets pass what comes from an interface."""
    found = _TRUSTED.search(guard())
    return found is not None and any(fnmatchcase(device, one.strip(' "')) for one in found[1].split(","))


def guards(listing: str, addresses: Iterable[str]) -> bool:
    """Whether a table, as ``nft`` lists it, keeps the network from some addresses."""
    dropping = " ".join(line for line in listing.splitlines() if "drop" in line)
    return "hook prerouting" in listing and all(
        re.search(rf"(?<![\w:.]){re.escape(one)}(?![\w:.])", dropping) for one in addresses
    )


def redirect(addresses: Iterable[str], target: str) -> str:
    """Return what leads port 80 of the addresses to ``target``, HOST:PORT.

    Beyond this host's own processes it leads containers there where the target is no loopback address, which is theirs
    alone. The guard has dropped everybody else by then.
    """
    rules = ""
    for family, some in (
        ("ip", [one for one in addresses if ":" not in one]),
        ("ip6", [one for one in addresses if ":" in one]),
    ):
        if some:
            to, port = target_for(some[0], target)
            where = f"[{to}]:{port}" if family == "ip6" else f"{to}:{port}"
            rules += f"        {family} daddr {{ {', '.join(some)} }} tcp dport {PORT} dnat {family} to {where}\n"
    hooks = ["output"] if target.startswith("127.") else ["output", "prerouting"]
    # before the rules of container engines (-100), which lead a published port 80 of every local address to a container
    chains = "".join(
        f"    chain {hook} {{\n        type nat hook {hook} priority -110; policy accept;\n{rules}    }}\n"
        for hook in hooks
    )
    return _whole(REDIRECT, chains)


def keep_source(link: str) -> str:
    """Return what lets a container's own address be seen: "translated" to itself before an engine hides it (100)."""
    rules = "".join(f'        oifname "{link}" snat {family} to {family} saddr\n' for family in ("ip", "ip6"))
    chain = f"    chain postrouting {{\n        type nat hook postrouting priority 90; policy accept;\n{rules}    }}\n"
    return _whole(SOURCE, chain)


def _whole(table: Table, chains: str) -> str:
    """Return a table whose loading twice is the same as once."""
    named = f"table inet {table.name}"
    return f"{named}\ndelete {named}\n{named} {{\n{chains}}}\n"


LAST_PORT = 65535
LOOPBACK_TARGET = "127.0.0.1:9254"
"""Where ``imds serve`` listens without a configuration."""


def target_for(host: str, target: str) -> tuple[str, int]:
    """Return the target of one address: for IPv6 its counterpart with the same port."""
    to, _, port = target.rpartition(":")
    six = "::1" if to.startswith("127.") else INSTANCE_METADATA_6
    return (six if ":" in host else to), int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def target_of(text: str) -> str:
    """Return a target, HOST:PORT, from what people write: it, or a port alone.

    Raises:
        ValueError: it is neither a loopback address nor EC2's own; says what to write.
    """
    host, _, port = text.rpartition(":")
    host = host or "127.0.0.1"
    known = host == INSTANCE_METADATA or (host.startswith("127.") and _is_address(host))
    if (
        not known
        or not port.isdecimal()
        or not 0 < int(port) <= LAST_PORT
        or (host == INSTANCE_METADATA and int(port) == PORT)
    ):
        raise ValueError(
            f"{text!r}: write 127.0.0.1:PORT where the daemon listens, or {INSTANCE_METADATA}:PORT for containers too"
        )
    return f"{host}:{int(port)}"
