"""The process that `tracker` starts beside a benchmark: it uploads what it is told of through standard input.

In a process of its own, neither MLflow's imports nor a store that hangs are ever the benchmark's concern.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional, TextIO

from movierec_bench.errors import BenchError
from movierec_bench.runs.folder import RunFolder
from movierec_bench.tracking.answers import ANSWER
from movierec_bench.tracking.live import Training
from movierec_bench.tracking.upload import send_training, upload

_PAUSE_SECONDS = 1.0  # between two looks at models in training, whose processor this is


def main() -> None:
    """Upload the run in ``sys.argv[1]`` to ``MLFLOW_TRACKING_URI``, as told through standard input.

    A line of JSON is an epoch that a model or trial in training has ended: ``{"model": .., "label": .., "search": ..,
    "epoch": .., "seconds": ..}`` and other numbers, the first three as in `Training`. Any other line names a model, mix
    or trial that has ended; an empty one says that the benchmark has: everything else follows, and this process ends.
    An input that ends before is a benchmark that was killed: this process ends at once, and the MLflow run stays
    unfinished. Each upload is answered by `ANSWER` and JSON on a line of its own: ``{"error": text}`` or the fields of
    `UploadResult`.
    """
    run, uri = RunFolder(Path(sys.argv[1])), os.environ["MLFLOW_TRACKING_URI"]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    if hasattr(os, "nice"):
        os.nice(10)  # the models come first
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(told,), daemon=True, name="listen").start()
    ended: set[str] = set()
    training: dict[str, Training] = {}
    _answer(answers, run, uri, ended, training)  # at once, so that a store that is down is known from the start
    while "" not in ended:
        before = len(ended)
        _heed(told.get(), ended, training)
        while not told.empty():
            _heed(told.get(), ended, training)
        waiting = [model for model in training.values() if model.waiting and model.label not in ended]
        if waiting and "" not in ended:
            _send_training(answers, run, uri, waiting)
        if len(ended) > before:
            _answer(answers, run, uri, None if "" in ended else ended, training)
        else:
            time.sleep(_PAUSE_SECONDS)


def _heed(line: str, ended: set[str], training: dict[str, Training]) -> None:
    if not line.startswith("{"):
        ended.add(line)
        return
    epoch = json.loads(line)
    name, label, search = (epoch.pop(key) for key in ("model", "label", "search"))
    training.setdefault(name, Training(name, label, search)).add(epoch)


def _listen(told: queue.SimpleQueue[str]) -> None:
    """Hand the lines of the input on; where it ends, whoever waits for this upload is gone."""
    rest = b""
    while read := os.read(sys.stdin.fileno(), 1 << 16):
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            told.put(line.decode())
    os._exit(1)


def _answer(
    answers: TextIO, run: RunFolder, uri: str, names: Optional[Collection[str]], training: Mapping[str, Training]
) -> None:
    try:
        answer: dict[str, Any] = asdict(upload(run, uri, names, training))
    except BenchError as error:
        answer = {"error": str(error)}
    _say(answers, answer)


def _send_training(answers: TextIO, run: RunFolder, uri: str, training: Collection[Training]) -> None:
    try:
        send_training(run, uri, training)
    except BenchError as error:
        _say(answers, {"error": str(error)})


def _say(answers: TextIO, answer: Mapping[str, Any]) -> None:
    answers.write(f"\n{ANSWER}{json.dumps(answer)}\n")
    answers.flush()


if __name__ == "__main__":
    main()
