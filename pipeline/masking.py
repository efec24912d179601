"""Secrets of the environment, taken out of whatever is printed or stored, whoever worded it.

They are found by what they are: passwords and tokens, in variables and in URLs. So it does not
matter where they appear, nor in which form a library repeats them.
"""

import base64
import functools
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
ANYWHERE = 8  # characters from which on a secret is masked even inside a word
SHORTEST = 4  # characters below which it is masked in URLs alone, for it may be any word
_MOST_QUOTED, _MOST_PIECES = 3, 9
# Names of variables, and of what is given in URLs and connection strings: what is a secret
# whatever it looks like, what is one if it looks like one, and what is none.
_SECRETS = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|ACCESS_?KEY|API_?KEY|ACCOUNT_?KEY)$"
    r"|(^|[^A-Z])((PG|DB)?PASS|PASSWORD|PASSWD|PASSPHRASE|(DB)?PWD|TOKEN|SECRETS?|PAT|SIG|SAS)"
    r"([^A-Z]|$)",
    re.IGNORECASE,
)
_MAYBE = re.compile(
    r"((^|[^A-Z])KEYS?|(?-i:[a-z]Key))([^A-Z]|$)|PASS|PWD|SECRET|TOKEN|CREDENTIAL|SIGNATURE",
    re.IGNORECASE,
)
_NO_SECRETS = re.compile(
    r"ASKPASS|BYPASS|COMPASS|TOKENIZER|(^|_)(FILE|PATH|DIR|NAME|TYPE|SOCK|TTL)$", re.IGNORECASE
)
_ANY_WORD = re.compile(r"true|false|yes|no|on|off|none|null|auto|\d{1,3}", re.IGNORECASE)
_A_PATH = re.compile(r"[~.]{0,2}/|[A-Za-z]:\\")
_PAIR = re.compile(r"""([\w.-]+)(?:\s*=\s*|"\s*:\s*")(\{[^}]*\}|"[^"]*"|'[^']*'|[^;&"'\s]+)""")
_UP_TO_SEMICOLON = re.compile(r"(?:^|[?&;])([\w .-]+)=([^;]+)")  # with blanks and & in it
_FOLDERS = ("PWD", "OLDPWD")  # of a shell
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
    text = _pattern(frozenset(os.environ.items()), urls).sub(MASK, text)
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


@functools.lru_cache(maxsize=16)
def _pattern(variables: frozenset[tuple[str, str]], urls: tuple[str, ...]) -> re.Pattern[str]:
    """Makes a pattern of all forms of all secrets; the longest first."""
    secrets = set(_of_environment(dict(variables)))
    for url in urls:
        secrets |= {*_of_url(url), *_pieces(url), *_of_pairs(url)}
    parts = []
    for form in sorted(_forms(secrets), key=lambda form: (-len(form), form)):
        part = re.sub("%[0-9A-Fa-f]{2}", lambda it: f"(?i:{it[0]})", re.escape(form))
        if len(form) < SHORTEST:
            part = f"(?:(?<=[:=])|(?<=%3[AD])){part}(?=[@&;]|%(?:40|26|3B)|$)"
        elif len(form) < ANYWHERE:
            part = f"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-F][0-9A-F])){part}(?![A-Za-z0-9])"
        parts.append(part)
    return re.compile("|".join(parts) or r"(?!)")


def _of_environment(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if name not in _FOLDERS and _is_secret(name, value, ANYWHERE):
            yield value
        if name in _STORES:
            yield from _pieces(value)
        if name in _STORES or "://" in value:
            yield from _of_url(value)
        yield from _of_pairs(value)
    user = variables.get("MLFLOW_TRACKING_USERNAME", "")
    if password := variables.get("MLFLOW_TRACKING_PASSWORD"):
        yield _basic(user, password)


def _is_secret(name: str, value: str, least: int = 1) -> bool:
    """Tells by its name, and where that may mean anything by its value, what is a secret.

    Args:
        name: of a variable or of a part of its value.
        value: what may be a secret.
        least: characters that a secret has whose name may mean anything.
    """
    if _NO_SECRETS.search(name) or _ANY_WORD.fullmatch(value):
        return False
    if _SECRETS.search(name):
        return True
    return bool(_MAYBE.search(name)) and len(value) >= least and not _A_PATH.match(value)


def _of_url(url: str) -> Iterator[str]:
    for user, password in _USERINFO.findall(url):
        yield password
        yield _basic(unquote(user), unquote(password))
    yield from _USERINFO_OF_A_HOST.findall(url)
    yield from _TOKEN_AS_USER.findall(url)


def _pieces(url: str) -> Iterator[str]:
    """Finds what a library may make of a password in which a @, /, ? or # is not quoted."""
    for _, password in _USERINFO.findall(url):
        cuts = [0, *(it.end() for it in re.finditer("[@/?#]", password)), len(password) + 1]
        for start, end in itertools.combinations(cuts[:_MOST_PIECES], 2):
            if end - 1 - start >= SHORTEST:
                yield password[start : end - 1]


def _of_pairs(text: str) -> Iterator[str]:
    """Finds what is given by name, in a query or a connection string, however often quoted."""
    for _ in range(_MOST_QUOTED):
        for key, value in (*_PAIR.findall(text), *_UP_TO_SEMICOLON.findall(text)):
            for each in (value, value.strip("{}\"' ")):
                if _is_secret(key, each):
                    yield each
        if text == (text := unquote_plus(text)):
            return


def _basic(user: str, password: str) -> str:
    """Encodes a user and a password as a request's header does."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _forms(secrets: Iterable[str]) -> set[str]:
    """Collects the forms in which secrets may be repeated: quoted, unquoted, within quotes."""
    found: set[str] = set()
    for secret in secrets:
        for plain in {secret, unquote(secret), unquote_plus(secret), unquote(unquote(secret))}:
            found |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
            found |= {quote(quote(plain, safe="")), quote(quote_plus(plain))}
            found |= {repr(plain)[1:-1], ascii(plain)[1:-1]}
            found |= {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
            # as a stream spells what is not in its encoding
            found |= {plain.encode(e, "backslashreplace").decode(e) for e in ("ascii", "latin-1")}
    return found - {"", MASK}
