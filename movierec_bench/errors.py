"""The error classes: what this library refuses, and how it says so."""

from __future__ import annotations

import difflib
import errno
import unicodedata
from collections.abc import Iterable

_NOTE_CHARACTERS = 50
_MOST_CHARACTERS = 4000  # of a message: a value that somebody put into a file may be of any length


class BenchError(Exception):
    """Anything this library refuses; its message says what was found, expected, where, and the next step."""

    def __init__(self, message: str) -> None:
        super().__init__(readable(message, _MOST_CHARACTERS))


class DataError(BenchError):
    """The input data, or a file that this library wrote, are not what their format promises."""


class ConfigError(BenchError):
    """A setting, flag, YAML key or model name is not one we know."""


class ModelError(BenchError):
    """A model cannot be trained or cannot rank."""


def system_error(error: OSError) -> ConfigError:
    """What a failed call of the operating system means to a user, and what to do."""
    what = error.strerror or str(error) or type(error).__name__
    where = error.filename if error.filename is not None else "a file or the standard output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        step = "expected room on the disk; free some and run the same command again: what was finished is kept"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        step = "expected to be allowed to read and write there; correct its rights, or choose another folder"
    elif error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        step = "expected the system to allow it; end other programs or raise the limit (`ulimit -a`), and try again"
    else:
        step = "expected it to work; correct that and run the same command again: what was finished is kept"
    return ConfigError(f"{where}: {what}; {step}")


def readable(text: str, most: int) -> str:
    """A text that is safe to print: control characters spelled out, the middle of a long one left out.

    Args:
        text: any text, maybe of a stranger's file.
        most: characters of the result; of a longer text it keeps half from the beginning and half from the end.
    """
    left_out = max(0, len(text) - 2 * most)
    if left_out:
        text = text[:most] + text[-most:]
    text = "".join(ascii(one)[1:-1] if _commands(one) else one for one in text)
    if len(text) <= most:
        return text
    half = (most - _NOTE_CHARACTERS) // 2
    return f"{text[:half]} [... {left_out + len(text) - 2 * half} characters left out ...] {text[-half:]}"


def _commands(character: str) -> bool:
    """Whether the character may command a terminal or a page instead of being shown."""
    category = unicodedata.category(character)
    return (category[0] == "C" and character not in "\n\t") or category in ("Zl", "Zp")


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """'did you mean A or B?', with the known names most like ``found``, ignoring case; empty when none is like it."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(found).lower(), by_lower, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(by_lower[name] for name in close)}?" if close else ""
