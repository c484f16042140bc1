"""The layout of EC2's JSON: two spaces, `` : ``, a value a line, no final newline."""

from __future__ import annotations

import json


def ec2_json(value: object) -> str:
    """Return a value of JSON as most of EC2's documents are laid out; an empty list or object stays in one line."""
    return json.dumps(value, indent=2, separators=(",", " : "))
