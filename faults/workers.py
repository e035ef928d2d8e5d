"""Spreads work over processes, each of which can see and end whatever its own commands leave behind."""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from faults import supervising

_ENOUGH = "no more questions"


def spread(work: Callable[[Any], Any], items: Sequence[Any], workers: int) -> Iterator[Any]:
    """``work(item)`` of every item, as they come; each worker is a fork of this process.

    Raises:
        RuntimeError: a worker died.
    """
    waiting = list(reversed(items))
    running: dict[int, tuple[int, int]] = {}  # descriptor of answers: process, descriptor of questions
    selector = selectors.DefaultSelector()
    for _ in range(min(workers, len(waiting))):
        process, ask, answer = _start(work)
        running[answer] = process, ask
        selector.register(answer, selectors.EVENT_READ)
        _write(ask, waiting.pop())
    try:
        while running:
            for key, _ in selector.select():
                answer = key.fd
                result = _read(answer)
                if isinstance(result, BaseException):
                    raise result
                if waiting:
                    _write(running[answer][1], waiting.pop())
                else:
                    selector.unregister(answer)
                    process, ask = running.pop(answer)
                    _write(ask, _ENOUGH)  # others hold this pipe, too: closing it would say nothing
                    os.waitpid(process, 0)
                yield result
    finally:
        for process, _ in running.values():
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
        selector.close()


def _start(work: Callable[[Any], Any]) -> tuple[int, int, int]:
    questions, ask = os.pipe()
    answer, answers = os.pipe()
    process = os.fork()
    if process:
        os.close(questions)
        os.close(answers)
        return process, ask, answer
    try:
        os.close(ask)
        signal.signal(signal.SIGTERM, _end)
        supervising.adopt_orphans()
        _work(work, questions, answers)
    finally:
        os._exit(0)


def _work(work: Callable[[Any], Any], questions: int, answers: int) -> None:
    while True:
        try:
            item = _read(questions)
        except EOFError:
            return
        if item == _ENOUGH:
            return
        try:
            _write(answers, work(item))
        except Exception as error:  # raised again where the answer is read
            _write(answers, RuntimeError(f"{type(error).__name__}: {error}"))


def _end(*_: object) -> None:
    supervising.kill_descendants()
    os._exit(1)


def _write(descriptor: int, value: Any) -> None:
    data = pickle.dumps(value)
    os.write(descriptor, struct.pack("!I", len(data)))
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int) -> Any:
    size = struct.unpack("!I", _read_exactly(descriptor, 4))[0]
    return pickle.loads(_read_exactly(descriptor, size))  # noqa: S301 - from a fork of this process


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
