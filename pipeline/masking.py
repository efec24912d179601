"""Secrets of the environment, taken out of whatever is printed or stored, whoever worded it.

They are found by what they are: passwords and tokens, in variables and in URLs. So it does not
matter where they appear, nor in which form a library repeats them.
"""

import base64
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

MASK = "***"
ANYWHERE = 8  # characters from which on a secret is masked even inside a word
SHORTEST = 4  # characters below which it is masked in URLs alone, for it may be any word
_NAMES = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|ACCESS_KEY|API_KEY)$", re.IGNORECASE
)
_KEYS = re.compile(r"pass|pwd|secret|token|key|credential|signature", re.IGNORECASE)
_STORES = ("PIPELINE_STORAGE", "MLFLOW_TRACKING_URI")  # URLs, however malformed
# Userinfo of a URL: up to the last @, for libraries take a password with / or @ in it.
_USERINFO = re.compile(r"(?:://|^(?!.*://))([^:/@\s]*):(.*)@", re.DOTALL)
_USERINFO_OF_A_HOST = re.compile(r"://[^:/@\s]*:([^@/\s]*)@")
_TOKEN_AS_USER = re.compile(r"^https?://([^:/@\s]+)@", re.IGNORECASE)
_IN_ANY_URL = re.compile(r"(://[^:/@\s]*):[^@/\s]+(?=@)")


def mask(text: str, *urls: str) -> str:
    """Replaces every secret in a text by `***`.

    Args:
        text: anything that people are to see.
        urls: whose secrets are masked beside those of the environment.
    """
    found = [secret for url in urls for secret in _of_url(url)]
    text = _pattern(_forms([*_of_environment(os.environ), *found])).sub(MASK, text)
    return _IN_ANY_URL.sub(rf"\1:{MASK}", text)


def mask_output() -> None:
    """Masks from now on what this process prints, tracebacks and warnings included."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Masked):
            setattr(sys, name, cast(TextIO, _Masked(stream)))


class _Masked:
    """A text stream that writes no secret; in all else the stream that it is of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text without its secrets."""
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes texts without their secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _of_environment(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if _NAMES.search(name):
            yield value
        if name in _STORES or "://" in value:
            yield from _of_url(value)
    user = variables.get("MLFLOW_TRACKING_USERNAME", "")
    if password := variables.get("MLFLOW_TRACKING_PASSWORD"):
        yield _basic(user, password)


def _of_url(url: str) -> Iterator[str]:
    for user, password in _USERINFO.findall(url):
        yield password
        yield _basic(unquote(user), unquote(password))
    yield from _USERINFO_OF_A_HOST.findall(url)
    yield from _TOKEN_AS_USER.findall(url)
    for key, value in parse_qsl(url.partition("?")[2]):
        if _KEYS.search(key):
            yield value


def _basic(user: str, password: str) -> str:
    """Encodes a user and a password as a request's header does."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _forms(secrets: Iterable[str]) -> set[str]:
    """Collects the forms in which secrets may be repeated: quoted, unquoted, within quotes."""
    found: set[str] = set()
    for secret in secrets:
        for plain in {secret, unquote(secret), unquote_plus(secret)}:
            found |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
            found.add(repr(plain)[1:-1])
    return found - {"", MASK}


def _pattern(forms: Iterable[str]) -> re.Pattern[str]:
    parts = []
    for form in sorted(forms, key=len, reverse=True):
        part = re.escape(form)
        if len(form) < SHORTEST:
            part = f"(?<=[:=]){part}(?=[@&]|$)"
        elif len(form) < ANYWHERE:
            part = f"(?<![A-Za-z0-9]){part}(?![A-Za-z0-9])"
        parts.append(part)
    return re.compile("|".join(parts) or r"(?!)")
