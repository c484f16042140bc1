"""A host, a container on it, and a neighbour: each a network namespace."""

from __future__ import annotations

from support.namespaces import Namespace, run


class Neighbourhood:
    """A host with the addresses of EC2 and ECS, a container behind a bridge-like link, and a neighbour on the LAN."""

    CONTAINER, BRIDGE, LAN, HOST = "172.17.0.2", "172.17.0.1", "192.168.50.20", "192.168.50.10"

    def __init__(self) -> None:
        self.host, self.container, self.lan = Namespace("h"), Namespace("c"), Namespace("l")

    def __enter__(self) -> Neighbourhood:
        self.host.__enter__()
        links = ((self.container, "docker0", self.BRIDGE, self.CONTAINER), (self.lan, "eth0", self.HOST, self.LAN))
        for other, name, near, far in links:
            run("ip", "netns", "add", other.name)
            run(
                *("ip", "-n", self.host.name, "link", "add", name, "type", "veth"),
                *("peer", "name", "eth0", "netns", other.name),
            )
            for namespace, device, address in ((self.host.name, name, near), (other.name, "eth0", far)):
                run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
                run("ip", "-n", namespace, "link", "set", device, "up")
            for address in ("169.254.169.254/32", "169.254.170.2/32"):
                run("ip", "-n", other.name, "route", "add", address, "via", near)
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.host, self.container, self.lan):
            namespace.__exit__()
