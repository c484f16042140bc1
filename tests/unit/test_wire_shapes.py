"""Documents and answers, byte for byte."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN, START, credentials

from imds.web import answer, documents

MADE = credentials(access_key_id="ASIAEXAMPLE")
DATE = "Tue, 01 Jan 2030 12:00:00 GMT"
FIELDS = (
    "{\n"
    '  "Code" : "Success",\n'
    '  "LastUpdated" : "2030-01-01T12:00:00Z",\n'
    '  "Type" : "AWS-HMAC",\n'
    '  "AccessKeyId" : "ASIAEXAMPLE",\n'
    f'  "SecretAccessKey" : "{SECRET_ACCESS_KEY}",\n'
    f'  "Token" : "{SESSION_TOKEN}",\n'
    '  "Expiration" : "2030-01-01T13:00:00Z"'
)


def test_the_role_document_is_ec2s() -> None:
    """Layout, order and no final newline."""
    assert documents.security_credentials(MADE) == FIELDS + "\n}"


def test_the_extended_document_adds_the_account() -> None:
    """One field more, at the end."""
    assert documents.security_credentials_extended(MADE) == FIELDS + ',\n  "AccountId" : "111122223333"\n}'


def test_iam_info_names_a_profile_like_the_role() -> None:
    """The last part of the profile's ARN is the role's name; the partition is the role's."""
    made = credentials(arn="arn:aws-cn:iam::111122223333:role/x")
    assert documents.iam_info(made, "app", "AIPAEXAMPLE") == (
        "{\n"
        '  "Code" : "Success",\n'
        '  "LastUpdated" : "2030-01-01T12:00:00Z",\n'
        '  "InstanceProfileArn" : "arn:aws-cn:iam::111122223333:instance-profile/app",\n'
        '  "InstanceProfileId" : "AIPAEXAMPLE"\n'
        "}"
    )


def test_the_container_document_has_what_every_client_needs() -> None:
    """Compact, with the role's ARN first and the account last."""
    assert documents.container_credentials(MADE) == (
        '{"RoleArn":"arn:aws:iam::111122223333:role/app","AccessKeyId":"ASIAEXAMPLE",'
        f'"SecretAccessKey":"{SECRET_ACCESS_KEY}","Token":"{SESSION_TOKEN}",'
        '"Expiration":"2030-01-01T13:00:00Z","AccountId":"111122223333"}'
    )


@pytest.mark.parametrize("awkward", ['a"b', "a\\b", "a/b+c==", "ü"])
def test_documents_are_json_whatever_is_in_them(awkward: str) -> None:
    """A secret with any character comes back as it was, from every document."""
    made = credentials(secret_access_key=awkward)
    for document in (
        documents.security_credentials,
        documents.security_credentials_extended,
        documents.container_credentials,
    ):
        assert json.loads(document(made))["SecretAccessKey"] == awkward


def head(*lines: str) -> bytes:
    """Return a response's head."""
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_token_answer() -> None:
    """Headers in EC2's order and case; only this one is hop-limited."""
    made = answer.token("AQAE", 60, 1)
    assert made.hops == 1
    assert made.to_bytes(START) == (
        head(
            "HTTP/1.1 200 OK",
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60",
            "Content-Length: 4",
            f"Date: {DATE}",
            "Server: EC2ws",
            "Connection: close",
            "Content-Type: text/plain",
        )
        + b"AQAE"
    )


@pytest.mark.parametrize("ttl", [None, 0, 21518])
def test_a_text_answer(ttl: int | None) -> None:
    """A GET tells what is left of the token, if one was sent."""
    assert answer.text("app", modified=START - timedelta(days=1), token_ttl=ttl).to_bytes(START) == (
        head(
            "HTTP/1.1 200 OK",
            *([] if ttl is None else [f"X-Aws-Ec2-Metadata-Token-Ttl-Seconds: {ttl}"]),
            "Content-Type: text/plain",
            "Accept-Ranges: none",
            "Last-Modified: Mon, 31 Dec 2029 12:00:00 GMT",
            "Content-Length: 3",
            f"Date: {DATE}",
            "Server: EC2ws",
            "Connection: close",
        )
        + b"app"
    )


def test_the_not_found_page_is_ec2s() -> None:
    """339 bytes as recorded, with two tabs and a blank before the DTD's address."""
    assert len(answer.NOT_FOUND) == 339
    assert b'Transitional//EN"\n\t\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n' in answer.NOT_FOUND
    assert answer.NOT_FOUND.endswith(b"</html>\n")
    assert answer.not_found(7, because="secret reasons").to_bytes(START) == (
        head(
            "HTTP/1.1 404 Not Found",
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 7",
            "Content-Type: text/html",
            "Content-Length: 339",
            f"Date: {DATE}",
            "Server: EC2ws",
            "Connection: close",
        )
        + answer.NOT_FOUND
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "Bad Request"), (401, "Unauthorized"), (403, "Forbidden"), (503, "Service Unavailable")],
)
def test_an_empty_answer(status: int, reason: str) -> None:
    """A status, no body, and nothing of the reason."""
    assert answer.empty(status, because="secret reasons").to_bytes(START) == head(
        f"HTTP/1.1 {status} {reason}",
        "Content-Length: 0",
        f"Date: {DATE}",
        "Server: EC2ws",
        "Connection: close",
        "Content-Type: text/plain",
    )


def test_a_wrong_method_is_told_the_right_ones() -> None:
    """405 in EC2's words, with ``Allow``."""
    lines = answer.empty(405, allow="OPTIONS, PUT").to_bytes(START).decode().split("\r\n")
    assert lines[:2] == ["HTTP/1.1 405 Not Allowed", "Allow: OPTIONS, PUT"]


def test_head_has_the_headers_of_get_and_no_body() -> None:
    """The length of what GET would send, and nothing after the head."""
    made = answer.text("app", modified=START, token_ttl=1)
    assert made.to_bytes(START, head_only=True) + b"app" == made.to_bytes(START)


def test_lengths_count_bytes() -> None:
    """A text outside ASCII is framed by its bytes."""
    assert b"Content-Length: 2\r\n" in answer.text("ü", modified=START, token_ttl=None).to_bytes(START)


def test_container_answers_keep_the_connection() -> None:
    """JSON without a charset, and no ``Connection: close``."""
    assert answer.json_document("{}").to_bytes(START) == (
        head(
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            "Content-Length: 2",
            f"Date: {DATE}",
            "Server: EC2ws",
        )
        + b"{}"
    )
