"""What AWS's names look like; each matches as a whole (``fullmatch``), in ASCII."""

from __future__ import annotations

import re

ACCOUNT_ID = re.compile(r"[0-9]{12}")
MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
"""Lower case, with colons, as the metadata service has them."""

REGION = re.compile(r"(?:[a-z]{2}|eusc)(?:-[a-z]+){1,3}-[0-9]+")
AVAILABILITY_ZONE = re.compile(r"(?:[a-z]{2}|eusc)(?:-[a-z0-9]+)+[a-z]")
SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9+=.,_:@-]{1,128}")
"""One part of a path of the metadata service."""

TAG_KEY = re.compile(rf"(?!_index\Z){SEGMENT.pattern}")
"""Of a tag that EC2 shows in the metadata (EC2 user guide, "Tag your Amazon EC2 resources", restrictions)."""
