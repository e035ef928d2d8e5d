"""Signals of commands that tests start."""

from __future__ import annotations

import signal


def heed_signals() -> None:
    """Whoever runs the tests may ignore signals, as nohup does; a command would, too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
