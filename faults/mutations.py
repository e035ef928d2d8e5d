"""Changes a file as accidents and strangers do: by a grammar of odd values, and by bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

# What may stand where a value is expected.
_ODD_TEXTS = (
    *("", " ", "0", "-1", "1e309", "nan", "inf", "-0.0", "1.5", "true", "null", "None", "NA", "²", "٣", "0x10"),
    *("9" * 20, "9" * 5000, "99999", "x" * 200_000, "\x1b[2J\x1b]0;owned\x07", "\u202e", "\ufeff", "\ud800", "\0"),
    *('"', "'", "\\", ",", "\t", "\r", "\n", "../../etc/passwd", "/dev/full", "a b", "{}", "[]", "*a", "&a [*a]"),
    *("!!python/object/apply:os.system [true]", "%s%n", "<script>", "=1+1", "é", "e\u0301", "漢字", "[" * 3000),
)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, -(10**400), 1e308, "", "x" * 10_000, "\x1b[2J", [], {}, [[]], [None]),
    *({"a": 1}, {"": {}}, [1] * 1000, "done", "failed"),
)
_DEEP = ("[" * 100_000 + "]" * 100_000, '{"a": ' * 50_000 + "1" + "}" * 50_000, "[" * 900 + "]" * 900, "9" * 5000)


def mutated(content: bytes, kind: str, rng: random.Random) -> bytes:
    """The file's bytes, changed in one to three places.

    Args:
        content: the whole file.
        kind: ``json``, ``table`` (lines of values), ``yaml`` or ``binary``: which grammar suits it.
        rng: decides.
    """
    ways = [_flip, _insert, _delete, _repeat, _cut, _swap]
    grammar = {"json": [_json_value, _json_value, _deep], "table": [_cell, _cell, _line], "yaml": [_yaml_value, _line]}
    ways += 3 * grammar.get(kind, [])
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(ways)(content, rng)
    return content


Way = Callable[[bytes, random.Random], bytes]


def _place(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 2, 8, 64, 1000)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(content: bytes, rng: random.Random) -> bytes:
    start, _ = _place(content, rng)
    odd = rng.choice((rng.randbytes(rng.choice((1, 8, 100))), rng.choice(_ODD_TEXTS).encode("utf-8", "surrogatepass")))
    return content[:start] + odd + content[start:]


def _delete(content: bytes, rng: random.Random) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = _place(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 2, 100)) + content[end:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((0, 1, 4, rng.randrange(len(content) + 1), max(0, len(content) - 1)))]


def _swap(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:] + content[first:last]


def _deep(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    values = [place for place, letter in enumerate(text) if letter == ":"]
    if not values or rng.random() < 0.3:
        return rng.choice(_DEEP).encode()
    place = rng.choice(values) + 1
    return (text[:place] + rng.choice(_DEEP) + "," + text[place:]).encode()


def _json_value(content: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return json.dumps(_changed(value, rng), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.15:
            return {other: entry for other, entry in value.items() if other != key}
        if how < 0.25:
            return {**value, rng.choice(_ODD_TEXTS): value[key]}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(_ODD_VALUES)


def _cell(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    number = rng.choice((0, rng.randrange(len(lines))))
    separator = next((one for one in ("\t", ",", "::", "|") if one in lines[0]), ",")
    cells = lines[number].split(separator)
    cells[rng.randrange(len(cells))] = rng.choice(_ODD_TEXTS)
    lines[number] = separator.join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    how = rng.randrange(5)
    if how == 0:
        del lines[place]
    elif how == 1:
        lines.insert(place, lines[rng.randrange(len(lines))])
    elif how == 2:
        lines[place] = rng.choice(_ODD_TEXTS).encode("utf-8", "surrogatepass")
    elif how == 3:
        lines = [line + b"\r" for line in lines]
    else:
        lines[place] += rng.choice((b",", b"\t", b" ", b'"', b"#"))
    return b"\n".join(lines)


def _yaml_value(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    keyed = [number for number, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
    if not keyed:
        return content
    number = rng.choice(keyed)
    key, _, rest = lines[number].partition(":")
    comment = rest.partition("#")[2]
    odd = rng.choice((*_ODD_TEXTS, *map(repr, _ODD_VALUES)))
    lines[number] = rng.choice(
        (f"{key}: {odd}", f"{key}: {odd}  #{comment}", f"{odd}: {rest}", f"{key}:{rest}\n{key}:{rest}")
    )
    return "\n".join(lines).encode("utf-8", "surrogatepass")
