"""How a target is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_guards import request

from imds.core.errors import BadRequestError

ROLE = "my+role@x=1,a.b_c-d"


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ()),
        ("//", ()),
        ("/latest", ("latest",)),
        ("/latest/", ("latest",)),
        ("//latest///meta-data//", ("latest", "meta-data")),
        ("/latest/?recursive=true", ("latest",)),
        ("/latest/#x?y", ("latest",)),
        ("/latest?a=/b/c", ("latest",)),
        (f"/{ROLE}", (ROLE,)),
        ("/my%2Brole%40x%3D1%2Ca.b_c-d", (ROLE,)),
        ("/a+b", ("a+b",)),
        ("/a%252Fb", ("a%2Fb",)),
        ("/a%2Fb", ("a", "b")),
        ("/a%3Fb", ("a?b",)),
        ("/%zz", ("%zz",)),
        ("/%ff", ("\ufffd",)),
        ("/\udcff", ("\ufffd",)),
        ("/latest/../x/./y", ("latest", "..", "x", ".", "y")),
        ("/LATEST", ("LATEST",)),
        ("http://169.254.169.254/latest/", ("latest",)),
        ("http://169.254.169.254", ()),
        ("http://169.254.169.254?x", ()),
        ("http://169.254.169.254//latest//", ("latest",)),
        ("HTTP://localhost:80/latest?x=http://y/z", ("latest",)),
    ],
)
def test_segments(target: str, segments: tuple[str, ...]) -> None:
    """Slashes collapse, the query goes, percent-decoding happens once, and dots mean nothing."""
    assert request(target=target).segments == segments


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        ("/latest/", None),
        ("//evil.example/latest", None),
        ("http://localhost/latest", "localhost"),
        ("http://[::1]:80/", "[::1]:80"),
        ("http://user:word@localhost/", "localhost"),
        ("http://localhost@evil.example/", "evil.example"),
    ],
)
def test_authority(target: str, authority: str | None) -> None:
    """Only an absolute target has one; what stands before an ``@`` is no host."""
    assert request(target=target).authority == authority


@given(st.one_of(st.text(max_size=60).map(str.encode), st.binary(max_size=60)))
def test_any_target_is_read_or_malformed(sent: bytes) -> None:
    """Nothing a client sends is an error of ours; targets are decoded as the HTTP parser does."""
    target = sent.decode("utf-8", "surrogateescape")
    for made in (request(target=target), request(target="/" + target), request(target="http://" + target)):
        try:
            assert all(segment and "/" not in segment for segment in made.segments)
        except BadRequestError:
            assert not made.target.startswith("/")
