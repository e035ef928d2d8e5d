"""How a result takes its place in a run's folder, and what a killed process leaves of that.

A model is trained beside its folder, in ``models/.<Model>.new``; an earlier result stays where it is until the new one
is complete. Every file is on disk before the status that vouches for it, and the status before the folder moves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from movierec_bench.data.replacing import recover as recover_folder
from movierec_bench.data.replacing import sync_folder, sync_tree
from movierec_bench.runs.files import stored_file, sweep
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.records import SUBMISSION, Status, StoredFile


def seal(folder: ModelFolder, status: Status, kept: Optional[Mapping[str, StoredFile]] = None) -> Status:
    """Store a status that vouches for every file of ``folder``, all of which are on disk by then.

    Args:
        folder: of a model or a mix; normally the staged one.
        status: the status, without its files.
        kept: files of an earlier result that stay valid, and need not be in ``folder`` yet.

    Returns:
        The status as stored.
    """
    sync_tree(folder.path)
    files = {**(kept or {}), **{name: stored_file(path) for name, path in folder.results().items()}}
    sealed = status.with_files(files)
    folder.write_status(sealed)
    return sealed


def publish(run: RunFolder, folder: ModelFolder) -> Status:
    """Put the staged result of a model or a mix into its place, and its submission into ``submissions``.

    Files that its status vouches for and that only the earlier result has are taken over from there. Killed at any
    moment, `recover` ends it.
    """
    status = folder.staged.read_status()
    sweep(folder.staged.path)  # what a process was writing when it was killed
    _take_over(folder, status)
    if SUBMISSION not in status.files:
        run.submission(folder.name).unlink(missing_ok=True)  # of a result that is about to be gone
    shutil.rmtree(folder.retired, ignore_errors=True)
    if folder.path.exists():
        folder.path.rename(folder.retired)
    folder.staged.path.rename(folder.path)
    sync_folder(folder.path.parent)
    _move_submission(run, folder)
    if folder.retired.exists():
        shutil.rmtree(folder.retired)
    return status


def damaged(run: RunFolder, folder: ModelFolder, status: Status) -> list[str]:
    """The files that are not there, or not of the size that the status vouches for, by name."""

    def place(name: str) -> Path:
        staged = folder.path / name
        return run.submission(folder.name) if name == SUBMISSION and not staged.is_file() else staged

    return [name for name, file in status.files.items() if _size(place(name)) != file.size]


def recover(run: RunFolder) -> None:
    """Put right what a killed command left in a run's folder, which the caller holds.

    A staged result that is complete takes its place, unless an earlier one has a submission and it has none: then it
    waits for the command that asked for it. Everything else that is unfinished is removed.
    """
    if run.deleted.exists():
        shutil.rmtree(run.deleted)
    recover_folder(run.split)
    for parent in (run.path / "models", run.path / "ensembles"):
        _recover_results(run, parent)
    for folder in (
        run.path,
        run.path / "submissions",
        run.path / "training",
        *(there.path for there in run.models() + run.ensembles()),
    ):
        sweep(folder)


def _recover_results(run: RunFolder, parent: Path) -> None:
    hidden = [path.name for path in sorted(parent.iterdir()) if path.name.startswith(".")] if parent.is_dir() else []
    for name in sorted({name[1:-4] for name in hidden if name.endswith((".new", ".old"))}):
        folder = ModelFolder(parent / name)
        staged, standing = folder.staged.finished(), folder.finished()
        if staged is None:
            shutil.rmtree(folder.staged.path, ignore_errors=True)
        elif standing is None or staged.fingerprint.refit or not standing.fingerprint.refit:
            publish(run, folder)
        if folder.retired.exists() and not folder.path.exists():
            folder.retired.rename(folder.path)
        elif folder.retired.exists():
            shutil.rmtree(folder.retired)
    for there in [ModelFolder(path) for path in parent.iterdir()] if parent.is_dir() else []:
        _move_submission(run, there)


def _move_submission(run: RunFolder, folder: ModelFolder) -> None:
    staged = folder.path / SUBMISSION
    if not folder.path.name.startswith(".") and staged.is_file():
        target = run.submission(folder.name)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(run.path)  # a power cut must not take the folder with what is moved into it
        staged.replace(target)
        sync_folder(target.parent)


def _take_over(folder: ModelFolder, status: Status) -> None:
    """Link, or where a disk cannot, copy into the staged folder what stays of the earlier result."""
    for name in status.files:
        source, target = folder.path / name, folder.staged.path / name
        if name != SUBMISSION and source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # a disk without links
                shutil.copyfile(source, target)


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1
