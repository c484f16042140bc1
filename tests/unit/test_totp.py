"""Codes of virtual MFA devices."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from imds.core.totp import code_at, next_code, read_seed

RFC_SEED = b"12345678901234567890"
RFC_6238 = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


@pytest.mark.parametrize("seconds", RFC_6238)
def test_the_vectors_of_rfc_6238(seconds: int) -> None:
    """The codes are those of the standard's appendix B; AWS's are their last six digits."""
    moment = datetime.fromtimestamp(seconds, UTC)
    assert code_at(RFC_SEED, moment, digits=8) == RFC_6238[seconds]
    assert code_at(RFC_SEED, moment) == RFC_6238[seconds][2:]


def test_a_code_holds_for_its_step() -> None:
    """Until the next step begins it is the same, and then it is another."""
    moment = datetime(2030, 1, 1, 12, 0, 7, tzinfo=UTC)
    after = next_code(moment)
    assert after == datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)
    assert code_at(RFC_SEED, after - timedelta(milliseconds=1)) == code_at(RFC_SEED, moment) != code_at(RFC_SEED, after)


@pytest.mark.parametrize("write", [str, str.lower, " ".join, lambda text: f"{text[:8]}-{text[8:]}=\n"])
def test_a_seed_as_people_write_it(write) -> None:
    """Small letters, groups and padding mean the same seed."""
    assert read_seed(write(base64.b32encode(RFC_SEED).decode())) == RFC_SEED


@pytest.mark.parametrize("text", ["", "GEZDGNBV", "not base32 at all!", "123456", "0" * 32, "\u00e4" * 16])
def test_what_is_no_seed(text: str) -> None:
    """It is refused in words that repeat nothing of it."""
    with pytest.raises(ValueError, match="a seed") as refused:
        read_seed(text)
    assert not text or text not in str(refused.value)
