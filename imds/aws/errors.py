"""botocore's errors become ours: one table, from what failed to who must act."""

from __future__ import annotations

import json
import re
from typing import Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from imds.core.errors import Action, CredentialsError

# The first class that fits counts, so subclasses stand before their parents: SSLError is a ConnectionError.
BY_CLASS: Final[tuple[tuple[type[Exception], Action], ...]] = (
    (boto.SSLError, Action.CONFIG),
    (boto.ConnectionError, Action.RETRY),
    (boto.HTTPClientError, Action.RETRY),
    (ResponseParserError, Action.RETRY),  # an HTML error page of a proxy or a load balancer
    (boto.MetadataRetrievalError, Action.RETRY),
    (boto.CredentialRetrievalError, Action.RETRY),
    (boto.SSOTokenLoadError, Action.REAUTHENTICATE),
    (boto.UnauthorizedSSOTokenError, Action.REAUTHENTICATE),
    (boto.TokenRetrievalError, Action.REAUTHENTICATE),
    (boto.LoginRefreshRequired, Action.REAUTHENTICATE),
    (boto.LoginTokenLoadError, Action.REAUTHENTICATE),
    (boto.RefreshWithMFAUnsupportedError, Action.REAUTHENTICATE),
    (boto.LoginInsufficientPermissions, Action.DENIED),
    (boto.BotoCoreError, Action.CONFIG),
    (json.JSONDecodeError, Action.CONFIG),  # credential_process printed something else
    (UnicodeDecodeError, Action.CONFIG),
    (ValueError, Action.CONFIG),
    (OSError, Action.CONFIG),  # a program or a token file that is not there
)

BY_CODE: Final[dict[str, Action]] = {
    "Throttling": Action.RETRY,
    "ThrottlingException": Action.RETRY,
    "RequestLimitExceeded": Action.RETRY,
    "TooManyRequestsException": Action.RETRY,
    "InternalFailure": Action.RETRY,
    "ServiceUnavailable": Action.RETRY,
    "IDPCommunicationError": Action.RETRY,
    "ExpiredToken": Action.REAUTHENTICATE,
    "ExpiredTokenException": Action.REAUTHENTICATE,
    "InvalidIdentityToken": Action.REAUTHENTICATE,
    "IDPRejectedClaim": Action.REAUTHENTICATE,
    "UnauthorizedException": Action.REAUTHENTICATE,
    "AccessDenied": Action.DENIED,
    "AccessDeniedException": Action.DENIED,
    "ForbiddenException": Action.DENIED,
    "NotAuthorizedException": Action.DENIED,
    "RequestTimeTooSkewed": Action.CLOCK,
    "RequestExpired": Action.CLOCK,
}
"""AWS error codes; one that is not here and came with HTTP 429 or 5xx passes by itself, any other is configuration."""

OUR_WORDS: Final[dict[type[Exception], str]] = {
    boto.MetadataRetrievalError: "the metadata service gave no credentials",
    boto.MissingDependencyException: "`aws login` needs the extra login: pip install 'imds-server[login]'",
    json.JSONDecodeError: "what should be JSON is not",
    UnicodeDecodeError: "what should be text is not",
    ResponseParserError: "the answer was not AWS's: is a proxy in between?",
}
"""In place of texts that repeat what was read, or that help nobody."""

_SKEWED = re.compile(r"Signature expired|Signature not yet current", re.IGNORECASE)
_CANONICAL = "The Canonical String"
"""From here on AWS's words repeat the signed headers, the source's session token among them."""
_NO_KEYS = re.compile(r"retrieve verification key", re.IGNORECASE)
"""AWS could not reach the identity provider, which it says with the code of a bad token."""
_BAD_MFA = re.compile(r"MultiFactorAuthentication failed", re.IGNORECASE)
LONGEST_MESSAGE = 400
_HTTP_TOO_MANY, _HTTP_SERVER_ERRORS = 429, 500


def translate(error: Exception) -> CredentialsError | None:
    """Return what ``error`` calls for, None when it is not a known failure but a mistake of ours."""
    if isinstance(error, CredentialsError):
        return error
    if isinstance(error, boto.ClientError):
        return _from_aws(error)
    for kind, action in BY_CLASS:
        if isinstance(error, kind):
            return CredentialsError(_code(error), _words(error), action=action)
    return None


def _from_aws(error: boto.ClientError) -> CredentialsError:
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "Unknown")), str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "SignatureDoesNotMatch" and _SKEWED.search(message):
        action = Action.CLOCK
    elif code == "AccessDenied" and _BAD_MFA.search(message):
        return CredentialsError(
            code, message, action=Action.REAUTHENTICATE, waits_for="another MFA code: imds mfa {role} CODE"
        )
    elif code == "InvalidIdentityToken" and _NO_KEYS.search(message):
        action = Action.RETRY
    elif code in BY_CODE:
        action = BY_CODE[code]
    elif status == _HTTP_TOO_MANY or status >= _HTTP_SERVER_ERRORS:
        action = Action.RETRY
    else:
        action = Action.CONFIG
    return CredentialsError(code, _short(message) or f"HTTP {status}", action=action)


def _code(error: Exception) -> str:
    return type(error).__name__


def _words(error: Exception) -> str:
    """Return what may be shown of an error: never what a program printed, which can hold a secret."""
    if isinstance(error, boto.CredentialRetrievalError):
        return f"{error.kwargs.get('provider', 'the credential provider')} gave no credentials"
    if type(error) is boto.HTTPClientError:  # its text may repeat the headers that were to be sent
        return "the request could not be sent"
    for kind, words in OUR_WORDS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return _short(str(error))


def _short(text: str) -> str:
    """Return a message that fits a log line and a status line: proxies answer with whole pages."""
    line = " ".join(text.partition(_CANONICAL)[0].split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"
