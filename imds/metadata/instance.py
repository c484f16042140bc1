"""The whole of an instance's metadata: what is derived, what the operator lays over it, and what is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.paths import IDENTITY_DOCUMENT, TAGS, is_below
from imds.core.templates import expand, names_in
from imds.metadata import facts, overlay
from imds.metadata.events import event_texts
from imds.metadata.identity_document import identity_document
from imds.metadata.leaves import leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.core.host import Host
    from imds.core.instances import Instance
    from imds.core.simulation import Simulated


def texts(
    instance: Instance, *, host: Host, region: str, account_id: str | None, simulated: Simulated
) -> dict[str, str]:
    """Return the text of every path without credentials in it; listings are made of these.

    Args:
        instance: with what the operator says of it.
        host: where it is.
        region: the daemon's; the operator may say that the instance is in another.
        account_id: twelve digits; None while it is not known.
        simulated: the events that hold.
    """
    stated, document = instance.overlay.texts, instance.overlay.document
    region, zone = overlay.place(stated, document, region)
    known = facts.derive(host, instance=instance.name, region=region, availability_zone=zone, account_id=account_id)
    literal = {path: text for path, text in stated.items() if text is None or not names_in(text)}
    known = overlay.with_texts(known, literal, document)
    filled = _filled(stated, known, instance, host)
    known = overlay.with_texts(known, filled, document)
    found = leaves(known)
    if known.account_id is not None or instance.role is None:  # without a role no account will ever be known
        found[IDENTITY_DOCUMENT] = identity_document(known, document)
    shown = {path: text for path, text in filled.items() if instance.tags_shown or not is_below(path, TAGS)}
    overlay.lay_over(found, shown)
    overlay.lay_over(found, event_texts(simulated, tags_shown=instance.tags_shown))
    return found


def _filled(
    stated: Mapping[str, str | None], known: facts.Facts, instance: Instance, host: Host
) -> dict[str, str | None]:
    """Return what the operator states with variables filled in; what needs one that is not known (yet) is left out."""
    variables = overlay.variables(known, instance=instance.name, role=instance.role, host=host.name)
    filled = {path: expand(text, variables) if text is not None else None for path, text in stated.items()}
    return {path: text for path, text in filled.items() if text is not None or stated[path] is None}
