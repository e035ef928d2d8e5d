"""Addresses of stores, which may hold passwords, and texts that may hold such addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
_NO_ADDRESS = "an address that is none"
_ANY_ADDRESS = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\"<>]*")
_RESERVED = re.compile(r"[/?#@\[\]]")
_SHORTEST_SECRET = 3  # a shorter word is found everywhere


def public_address(uri: str) -> str:
    """The address without what may be secret: user, password, query and fragment; a fixed word for what is no address.

    A password with letters that should have been percent-encoded (``/``, ``?``, ``#``, ``@``) is hidden too.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark or not re.fullmatch(r"[a-zA-Z][\w+.-]*", scheme):
        return _NO_ADDRESS
    is_file = rest.startswith("/")  # such as sqlite:///runs/mlflow.db: no host, so nobody to log in to
    credentials, at, place = ("", "", rest) if is_file else rest.rpartition("@")
    place, has_query = re.split(r"[?#]", place, maxsplit=1)[0], bool(re.search(r"[?#]", place))
    shown = f"{scheme}://{HIDDEN + at if at else ''}{place}{'?' + HIDDEN if has_query else ''}"
    try:
        urlsplit(shown).port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        return _NO_ADDRESS
    return shown


def is_address(uri: str) -> bool:
    """Whether it begins like an address and names a place."""
    return public_address(uri) != _NO_ADDRESS


def without_secrets(text: str, uri: str = "", *secrets: str) -> str:
    """The text with every address in it made public, and with no secret of ``uri`` left.

    Args:
        text: such as the message of a program that was given ``uri``.
        uri: an address that may be in the text, whole or in parts.
        secrets: what must not be in it either, such as a password that came another way.
    """
    hidden = sorted({*_secrets_of(uri), *secrets, *map(unquote, secrets)}, key=len, reverse=True)
    if uri:
        text = text.replace(uri, public_address(uri))
    for secret in hidden:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return _ANY_ADDRESS.sub(lambda found: public_address(found[0]), text)


def is_ambiguous(uri: str) -> bool:
    """Whether programs may disagree where its password ends, so that parts of it may be in any message of theirs."""
    rest = uri.partition("://")[2]
    credentials = "" if rest.startswith("/") else rest.rpartition("@")[0]
    return bool(_RESERVED.search(credentials))


def _secrets_of(uri: str) -> Iterator[str]:
    rest = uri.partition("://")[2] or uri
    if rest.startswith("/"):
        credentials = ""
    else:
        credentials, _, rest = rest.rpartition("@")
    password = credentials.partition(":")[2]
    query = re.split(r"[?#]", rest, maxsplit=1)[1:]
    values = [pair.partition("=")[2] or pair for part in query for pair in re.split(r"[&;#]", part)]
    for secret in (credentials, password, *_RESERVED.split(password), *values):
        yield secret
        yield unquote(secret)
