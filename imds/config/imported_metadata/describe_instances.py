"""The output of ``aws ec2 describe-instances``, whole or a part of it (EC2 API reference, DescribeInstances)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from imds.config.imported_metadata.draft import Draft, read_timestamp
from imds.config.imported_metadata.json_values import Entry, kind, shown, unquoted
from imds.core.paths import DYNAMIC, INTERFACES, META_DATA, TAGS
from imds.core.patterns import MAC, TAG_KEY

if TYPE_CHECKING:
    from imds.core.instances import Overlay

MAX_LISTED = 20
_IP = re.compile(r"[0-9a-fA-F.:]{2,45}")
_PARTS = ("Reservations", "Instances", "InstanceId")
_INSTANCE = {
    "AmiLaunchIndex": "ami-launch-index",
    "ImageId": "ami-id",
    "InstanceId": "instance-id",
    "InstanceType": "instance-type",
    "Ipv6Address": "ipv6",
    "KernelId": "kernel-id",
    "PrivateDnsName": "local-hostname",
    "PrivateIpAddress": "local-ipv4",
    "PublicDnsName": "public-hostname",
    "PublicIpAddress": "public-ipv4",
    "RamdiskId": "ramdisk-id",
}
_PLACEMENT = {
    "AvailabilityZone": "availability-zone",
    "AvailabilityZoneId": "availability-zone-id",
    "GroupName": "group-name",
    "HostId": "host-id",
    "PartitionNumber": "partition-number",
}
_INTERFACE = {
    "MacAddress": "mac",
    "NetworkInterfaceId": "interface-id",
    "OwnerId": "owner-id",
    "PrivateDnsName": "local-hostname",
    "SubnetId": "subnet-id",
    "VpcId": "vpc-id",
}
_INTERFACE_LISTS = (
    ("Groups", "GroupId", "security-group-ids"),
    ("Groups", "GroupName", "security-groups"),
    ("Ipv6Addresses", "Ipv6Address", "ipv6s"),
    ("Ipv4Prefixes", "Ipv4Prefix", "ipv4-prefix"),
    ("Ipv6Prefixes", "Ipv6Prefix", "ipv6-prefix"),
)
_OPTIONS = {
    "HttpTokens": "http_tokens",
    "HttpPutResponseHopLimit": "http_put_response_hop_limit",
    "InstanceMetadataTags": "instance_metadata_tags",
}
_MONITORING = {"enabled": "enabled", "pending": "enabled", "disabled": "disabled", "disabling": "disabled"}


class _Found(NamedTuple):
    """An instance of the file, and the reservation around it where the file has one."""

    instance: Entry
    reservation: Entry


def is_describe_instances(content: object) -> bool:
    """Tell whether a file is, by its outermost keys, an output of describe-instances."""
    return isinstance(content, list) or (isinstance(content, dict) and any(key in content for key in _PARTS))


def read_describe_instances(content: object, *, instance_id: str | None) -> Overlay:
    """Return what the file says of one instance.

    Args:
        content: plain JSON values: ``Reservations``, ``Instances``, a list of either or of instances, or one instance.
        instance_id: which one; None where there is only one.

    Raises:
        ValueError: a value has another type than EC2's, or it is not clear which instance is meant.
    """
    found = _choose(_instances(content, "it", Entry(None, "it")), instance_id)
    draft = Draft()
    _read_instance(draft, found)
    _read_devices(draft, found.instance)
    _read_document(draft, found)
    for interface in found.instance.entries("NetworkInterfaces"):
        _read_interface(draft, interface)
    _read_tags(draft, found.instance)
    _note_what_is_left(draft, found.instance)
    return draft.finished()


def _instances(value: object, place: str, reservation: Entry) -> list[_Found]:
    if isinstance(value, list):
        at = "" if place == "it" else place
        parts = (_instances(item, f"{at}[{number}]", reservation) for number, item in enumerate(value))
        return [found for part in parts for found in part]
    if isinstance(value, dict):
        at = "" if place == "it" else f"{place}."
        if "Reservations" in value:
            return _instances_of(value["Reservations"], f"{at}Reservations", reservation)
        if "Instances" in value:
            return _instances_of(value["Instances"], f"{at}Instances", Entry(value, place))
        if "InstanceId" in value:
            return [_Found(Entry(value, place), reservation)]
    raise ValueError(f"{place} is neither an instance nor a reservation")


def _instances_of(value: object, place: str, reservation: Entry) -> list[_Found]:
    if not isinstance(value, list):
        raise ValueError(f"{place} must be a list, not {kind(value)}")  # noqa: TRY004 - see kind
    return _instances(value, place, reservation)


def _choose(found: list[_Found], instance_id: str | None) -> _Found:
    by_id: dict[str, _Found] = {}
    for one in found:
        name = one.instance.text("InstanceId")
        if name is None:
            raise ValueError(f"{one.instance.place} has no InstanceId")
        by_id.setdefault(name, one)
    if not by_id:
        raise ValueError("has no instance in it")
    if instance_id is None and len(by_id) == 1:
        return next(iter(by_id.values()))
    if instance_id in by_id:
        return by_id[instance_id]
    names = [f"{shown(name)} ({_state(one.instance)})" for name, one in list(by_id.items())[:MAX_LISTED]]
    listed = ", ".join(names) + (", …" if len(by_id) > MAX_LISTED else "")
    if instance_id is None:
        raise ValueError(f"has {len(by_id)} instances, say which is meant with instance_id: {listed}")
    raise ValueError(f"has no instance {shown(instance_id)}; it has: {listed}")


def _state(instance: Entry) -> str:
    state = instance.entry("State").text("Name")
    return state if state is not None and state.replace("-", "").isalpha() and state.isascii() else "state unknown"


def _read_instance(draft: Draft, found: _Found) -> None:
    instance = found.instance
    for key, path in _INSTANCE.items():
        draft.put(f"{META_DATA}/{path}", instance.text(key))
    draft.put(f"{META_DATA}/hostname", instance.text("PrivateDnsName"))
    placement = instance.entry("Placement")
    for key, path in _PLACEMENT.items():
        draft.put(f"{META_DATA}/placement/{path}", placement.text(key))
    spot = "spot" if instance.text("SpotInstanceRequestId") else "on-demand"
    draft.put(f"{META_DATA}/instance-life-cycle", instance.text("InstanceLifecycle") or spot)
    draft.put(f"{META_DATA}/hibernation/configured", instance.entry("HibernationOptions").text("Configured"))
    draft.put(f"{META_DATA}/reservation-id", found.reservation.text("ReservationId"))
    draft.put(f"{META_DATA}/security-groups", _lines(instance.texts("SecurityGroups", "GroupName")))
    draft.put(f"{META_DATA}/product-codes", _lines(instance.texts("ProductCodes", "ProductCodeId")))
    state = instance.entry("Monitoring").text("State")
    draft.put(f"{DYNAMIC}/fws/instance-monitoring", _MONITORING.get(state or ""))


def _read_devices(draft: Draft, instance: Entry) -> None:
    root = instance.text("RootDeviceName")
    draft.put(f"{META_DATA}/block-device-mapping/ami", root)
    draft.put(f"{META_DATA}/block-device-mapping/root", root)
    others = [name for name in instance.texts("BlockDeviceMappings", "DeviceName") if name != root]
    for number, name in enumerate(others, start=1):
        draft.put(f"{META_DATA}/block-device-mapping/ebs{number}", name.removeprefix("/dev/"))


def _read_document(draft: Draft, found: _Found) -> None:
    codes: dict[str, list[str]] = {}
    for code in found.instance.entries("ProductCodes"):
        if name := code.text("ProductCodeId"):
            codes.setdefault(code.text("ProductCodeType") or "", []).append(name)
    launched = found.instance.text("LaunchTime")
    stated = {
        "accountId": found.reservation.text("OwnerId"),
        "architecture": found.instance.text("Architecture"),
        "pendingTime": read_timestamp(launched, f"{found.instance.place}.LaunchTime") if launched else None,
        "marketplaceProductCodes": codes.get("marketplace"),
        "devpayProductCodes": codes.get("devpay"),
    }
    draft.document.update({name: value for name, value in stated.items() if value is not None})


def _read_interface(draft: Draft, interface: Entry) -> None:
    mac = interface.text("MacAddress")
    if mac is None or not MAC.fullmatch(mac):
        raise ValueError(f"{interface.place}.MacAddress must be an address such as 0e:49:61:0f:c3:11")
    base = f"{INTERFACES}/{mac}"
    attachment = interface.entry("Attachment")
    number = attachment.text("DeviceIndex")
    card = attachment.text("NetworkCardIndex")
    if number in (None, "0") and card in (None, "0"):
        draft.texts.setdefault(f"{META_DATA}/mac", mac)
    draft.put(f"{base}/device-number", number)
    draft.put(f"{base}/network-card", card)
    for key, path in _INTERFACE.items():
        draft.put(f"{base}/{path}", interface.text(key))
    for key, inner, path in _INTERFACE_LISTS:
        draft.put(f"{base}/{path}", _lines(interface.texts(key, inner)))
    draft.put(f"{base}/public-hostname", interface.entry("Association").text("PublicDnsName"))
    _read_addresses(draft, interface, base)


def _read_addresses(draft: Draft, interface: Entry, base: str) -> None:
    """Say which private addresses an interface has, and which public one belongs to which."""
    addresses = interface.entries("PrivateIpAddresses") or [interface]  # older outputs have only the first address
    addresses.sort(key=lambda address: address.text("Primary") != "true")
    private = [text for address in addresses if (text := address.text("PrivateIpAddress"))]
    public = []
    for address in addresses:
        outside = address.entry("Association").text("PublicIp")
        if outside is None:
            continue
        if not _IP.fullmatch(outside):
            raise ValueError(f"{address.place}.Association.PublicIp must be an IP address, not {shown(outside)}")
        public.append(outside)
        draft.put(f"{base}/ipv4-associations/{outside}", address.text("PrivateIpAddress"))
    draft.put(f"{base}/local-ipv4s", _lines(private))
    draft.put(f"{base}/public-ipv4s", _lines(public))


def _read_tags(draft: Draft, instance: Entry) -> None:
    hidden = []
    for tag in instance.entries("Tags"):
        key = tag.text("Key")
        if key is None:
            raise ValueError(f"{tag.place} has no Key")
        if TAG_KEY.fullmatch(key):
            draft.put(f"{TAGS}/{key}", tag.text("Value") or "")
        else:
            hidden.append(shown(key))
    if hidden:
        listed = ", ".join(hidden[:MAX_LISTED])
        draft.note(f"no tag whose key has blanks, slashes or letters beyond ASCII can be shown by EC2: {listed}")


def _note_what_is_left(draft: Draft, instance: Entry) -> None:
    name = instance.text("KeyName")
    if name:
        draft.note(
            f"of the key pair {shown(name)} the file has the name only: for the key write "
            "metadata: {public-keys/0/openssh-key: ssh-ed25519 …}"
        )
    if instance.entry("IamInstanceProfile").text("Arn"):
        draft.note("the instance profile is not used: what is served is the instance's role in this configuration")
    options = instance.entry("MetadataOptions")
    stated = [f"{ours}: {unquoted(text)}" for key, ours in _OPTIONS.items() if (text := options.text(key))]
    if stated:
        draft.note(f"its options of the metadata service are not used: metadata_options: {{{', '.join(stated)}}}")
    if instance.values.get("UserData") is not None:
        draft.note("UserData is not used: write it as user_data: {base64: …}")
    if instance.values.get("NetworkInterfaces"):
        draft.note(
            "address blocks of subnets and VPCs are not in the output of describe-instances: where a client needs "
            "them, write metadata: {network/interfaces/macs/MAC/subnet-ipv4-cidr-block: …}"
        )


def _lines(texts: list[str]) -> str | None:
    return "\n".join(texts) if texts else None
