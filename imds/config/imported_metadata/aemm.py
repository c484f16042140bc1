"""Configuration files of AWS's amazon-ec2-metadata-mock (AEMM), and those that it saves.

Its ``docs/configuration.md`` describes them: values by name, paths by the same names, and settings of the mock. Keys
are read without regard to case, because AEMM does so and saves them in lower case.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from imds.config.imported_metadata import aemm_settings
from imds.config.imported_metadata.aemm_paths import (
    ACCELERATOR,
    ACCELERATOR_KEY,
    ASSOCIATION_KEY,
    DYNAMIC_PATHS,
    MAC,
    METADATA_PATHS,
    PUBLIC_IPV4,
    SIMULATED_PATHS,
)
from imds.config.imported_metadata.draft import (
    SIMULATED,
    Draft,
    is_safe,
    read_timestamp,
)
from imds.config.imported_metadata.json_values import Entry, kind, served_text, shown, unquoted
from imds.core.layout import ec2_json
from imds.core.paths import CREDENTIALS, DYNAMIC, IDENTITY_DOCUMENT, INTERFACES, META_DATA, is_below

if TYPE_CHECKING:
    from imds.core.instances import Overlay

DOCUMENT_KEY = "instance-identity-document"
USER_DATA = "/latest/user-data"
USER_DATA_KEY = "userdata"
CREDENTIAL_KEYS = ("iam-info", "iam-security-credentials", "iam-security-credentials-role")
_CODES = ("billingProducts", "devpayProductCodes", "marketplaceProductCodes")
_FIELDS = {
    name.lower(): name
    for name in (
        *("accountId", "architecture", "availabilityZone", "imageId", "instanceId", "instanceType", "kernelId"),
        *("pendingTime", "privateIp", "ramdiskId", "region", "version", *_CODES),
    )
}


def is_aemm(content: object) -> bool:
    """Tell whether a file is, by its outermost keys, a configuration of AEMM."""
    known = {"metadata", "dynamic", "userdata", *aemm_settings.KEYS}
    return isinstance(content, dict) and any(key.lower() in known for key in content)


def read_aemm(content: object, *, instance_id: str | None) -> Overlay:
    """Return what the file itself says; AEMM's own defaults for what it does not say are not made part of it.

    Args:
        content: plain JSON values.
        instance_id: None, or that of the file.

    Raises:
        ValueError: a value has another type than AEMM takes, or the file is of another instance.
    """
    entry = Entry(content, "it").folded()
    draft = Draft()
    metadata, dynamic = entry.folded("metadata"), entry.folded("dynamic")
    values = metadata.folded("values")
    paths = _with_placeholders(_paths(metadata, {**METADATA_PATHS, **SIMULATED_PATHS}), values)
    _read_values(draft, values, paths)
    _read_values(draft, dynamic.folded("values"), _paths(dynamic, DYNAMIC_PATHS))
    _note_moved(draft, metadata, METADATA_PATHS)
    _note_moved(draft, dynamic, DYNAMIC_PATHS)
    _read_user_data(draft, entry.folded("userdata"))
    _complete_interfaces(draft)
    aemm_settings.note_settings(draft, entry, event_id=values.text("event-id"))
    found = draft.texts.get(f"{META_DATA}/instance-id")
    if instance_id is not None and instance_id != found:
        raise ValueError(f"has no instance {shown(instance_id)}; it has: {shown(found) if found else 'one without id'}")
    return draft.finished()


def _paths(section: Entry, defaults: dict[str, str]) -> dict[str, str]:
    """Return where each value stands, the file's own word before AEMM's."""
    stated = section.folded("paths")
    return defaults | {key: text for key in stated.values if (text := stated.text(key))}


def _with_placeholders(paths: dict[str, str], values: Entry) -> dict[str, str]:
    """Return ``paths`` with AEMM's own addresses in them replaced by the file's, as AEMM does it."""
    interface = tuple(key for key in METADATA_PATHS if key.startswith("mac-"))
    replaced = dict(paths)
    for key, default, affected in (
        ("mac", MAC, interface),
        ("public-ipv4", PUBLIC_IPV4, (ASSOCIATION_KEY,)),
        ("elastic-inference-associations", ACCELERATOR, (ACCELERATOR_KEY,)),
    ):
        value = values.values.get(key)
        if isinstance(value, str) and value:
            replaced |= {name: replaced[name].replace(default, value) for name in affected}
    return replaced


def _read_values(draft: Draft, values: Entry, paths: dict[str, str]) -> None:
    for key, value in values.values.items():
        if value is not None and key != "event-id":
            _read_value(draft, key, value, paths.get(key))


def _note_moved(draft: Draft, section: Entry, defaults: dict[str, str]) -> None:
    """Say which paths of the file have no effect."""
    stated, values = section.folded("paths"), section.folded("values")
    for key in stated.values:
        text = stated.text(key)
        if key in SIMULATED_PATHS:
            draft.note(
                "spot interruptions, rebalance recommendations, maintenance events and Auto Scaling's target state are "
                "where EC2 has them, once imds simulate says so"
            )
        elif text != defaults.get(key) and values.values.get(key) is None and key not in CREDENTIAL_KEYS:
            draft.note(f"for the path of {shown(key)} the file has no value, and AEMM's own is not used")


def _read_value(draft: Draft, key: str, value: object, path: str | None) -> None:
    if key == USER_DATA_KEY:  # older versions of AEMM have it among the metadata
        _take_user_data(draft, value)
    elif key in CREDENTIAL_KEYS:
        draft.note("values of iam/ are not used: what is served there are the credentials of the instance's role")
    elif path is None:
        draft.note(f"{shown(key)} is no name that AEMM knows and has no path: write it as metadata: {{PATH: …}}")
    elif (where := _below_version(path)) is None:
        draft.note(
            f"{shown(key)} is not used: its path {shown(path)} is not below /latest/meta-data/ or /latest/dynamic/, or "
            "has characters that IMDS has in no path"
        )
    elif is_below(where, *CREDENTIALS) or "secretaccesskey" in served_text(value).lower():
        draft.note(f"{shown(key)} is not used: credentials are those of the instance's role")
    elif is_below(where, *SIMULATED):
        draft.note(f"{shown(key)} is not used: {where} appears by imds simulate")
    else:
        _take(draft, key, value, where)


def _take(draft: Draft, key: str, value: object, where: str) -> None:
    if key == DOCUMENT_KEY or where == IDENTITY_DOCUMENT:
        _read_document(draft, Entry(value, unquoted(key)))
    if where == IDENTITY_DOCUMENT:
        return
    document = key == DOCUMENT_KEY
    draft.put(where, ec2_json(value) if document else served_text(value))


def _read_document(draft: Draft, entry: Entry) -> None:
    folded = entry.folded()
    for key, value in folded.values.items():
        name = _FIELDS.get(key)
        if name is None:
            draft.note(f"{shown(key)} is not used: no identity document has it")
        elif name in _CODES and isinstance(value, list):
            draft.document[name] = [_code(item, name) for item in value]
        elif name == "pendingTime" and (text := folded.text(key)):
            draft.document[name] = read_timestamp(text, f"{entry.place}.{name}")
        else:
            draft.document[name] = folded.text(key)


def _code(item: object, name: str) -> str:
    if not isinstance(item, str):
        raise ValueError(f"{name} must be a list of texts, not of {kind(item)}")  # noqa: TRY004 - see kind
    return item


def _read_user_data(draft: Draft, section: Entry) -> None:
    path = section.folded("paths").text(USER_DATA_KEY)
    if path is not None and path.rstrip("/") != USER_DATA:
        draft.note(f"user data stays at {USER_DATA}: EC2 has it nowhere else")
    for key, value in section.folded("values").values.items():
        if key == USER_DATA_KEY:
            _take_user_data(draft, value)
        else:
            draft.note(f"{shown(key)} is not used: AEMM has no such user data")


def _take_user_data(draft: Draft, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"userdata must be base64, not {kind(value)}")
    try:
        draft.user_data = base64.b64decode("".join((value or "").split()), validate=True) or draft.user_data
    except (binascii.Error, ValueError) as error:
        raise ValueError("userdata is not base64, as AEMM has it") from error


def _complete_interfaces(draft: Draft) -> None:
    """Say of each interface which address it has: AEMM serves its own where the file has none."""
    for path in list(draft.texts):
        if is_below(path, INTERFACES) and path != INTERFACES:
            mac = path.removeprefix(f"{INTERFACES}/").split("/")[0]
            draft.texts.setdefault(f"{META_DATA}/mac", mac)
            draft.texts.setdefault(f"{INTERFACES}/{mac}/mac", mac)


def _below_version(path: str) -> str | None:
    """Return the part of a path below ``/latest``, None where it is none that a value may have."""
    version, *parts = [part for part in path.split("/") if part] or [""]
    where = "/".join(parts)
    if version != "latest" or len(parts) < 2 or parts[0] not in (META_DATA, DYNAMIC):  # noqa: PLR2004 - a name below
        return None
    return where if is_safe(where) else None
