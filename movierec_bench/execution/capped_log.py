"""A log file that keeps its beginning and its end, however much is written to it."""

from __future__ import annotations

import logging
import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

HEAD_BYTES = TAIL_BYTES = 512 * 1024
_FLUSH_SECONDS = 1.0  # between two looks at the end of a log that is too long
_PIECE = 64 * 1024


class CappedLog:
    """Copies what comes out of a pipe into a file, in a thread: the first and the last half MiB of it.

    Whoever writes more waits for this thread, so that no disk fills up. The file is always readable: the beginning is
    there as it comes, the end once a second.

    Args:
        path: the file, written anew.
        source: the pipe's reading end; it is closed when all writers have closed theirs.
    """

    def __init__(self, path: Path, source: Connection) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        path.unlink(missing_ok=True)  # it may be a link to elsewhere, in a folder that somebody shared
        self._file: IO[bytes] = path.open("xb", buffering=0)
        self._source = source
        self._written = 0
        self._dropped = 0
        self._tail = bytearray()
        self._complained = False
        self._thread = threading.Thread(target=self._copy, daemon=True, name=f"log {path.parent.name}")
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Wait until all is written, but no longer than ``seconds``: a helper may hold the pipe open."""
        self._thread.join(seconds)

    def _copy(self) -> None:
        flushed = time.monotonic()
        with self._source, self._file:
            while piece := os.read(self._source.fileno(), _PIECE):
                room = max(0, HEAD_BYTES - self._written)
                self._write(piece[:room])
                self._tail += piece[room:]
                if len(self._tail) > TAIL_BYTES:
                    self._dropped += len(self._tail) - TAIL_BYTES
                    del self._tail[:-TAIL_BYTES]
                if self._tail and time.monotonic() - flushed > _FLUSH_SECONDS:
                    self._write_tail()
                    flushed = time.monotonic()
            self._write_tail()

    def _write_tail(self) -> None:
        if not self._tail:
            return
        try:
            self._file.seek(self._written)
            self._file.truncate()
        except OSError as error:
            self._complain(error)
            return
        left_out = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        written = self._written
        self._write(left_out + bytes(self._tail))
        self._written = written  # the next end goes to the same place

    def _write(self, data: bytes) -> None:
        try:
            while data:
                count = self._file.write(data)
                self._written += count
                data = data[count:]
        except OSError as error:  # a full disk; the model must not wait for its log
            self._written = HEAD_BYTES
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            logger.warning("%s: %s; what is written to this log is lost", self._path, error)
        self._complained = True
