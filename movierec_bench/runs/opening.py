"""Opening a run folder: its lock, its manifest, its split."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.log_split import BY_USER, check_protocol, split_data
from movierec_bench.data.replacing import recover_all
from movierec_bench.data.split import held_out_rows, write_split
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.files import is_temporary, stored_file
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.locks import locked
from movierec_bench.runs.publishing import recover
from movierec_bench.runs.records import RunManifest
from movierec_bench.schema import USER, PathLike
from movierec_bench.settings.catalog import KNOWN_USERS
from movierec_bench.settings.protocol import Protocol

_VERSIONS_OF = (
    "movierec_bench",
    "recbole",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "numba",
    "pyarrow",
    "mlflow",
)


def package_versions() -> dict[str, str]:
    """The installed version of every package that results depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS_OF}


def find_dataset(atomic: PathLike, name: Optional[str]) -> Path:
    """The folder of a converted data set. Raises DataError when it is missing or the choice is unclear."""
    root = Path(atomic)
    try:
        recover_all(root)
    except OSError as error:
        raise DataError(
            f"{root} holds what a killed `convert` left, which cannot be put right ({error.strerror}); expected "
            "permission to write there; give it, or convert into another folder"
        ) from error
    there = (
        sorted(path.name for path in root.iterdir() if (path / f"{path.name}.inter").is_file()) if root.is_dir() else []
    )
    if not there:
        raise DataError(f"{root} holds no converted data set; run `python -m movierec_bench convert` first")
    if name is None and len(there) > 1:
        raise DataError(f"{root} holds {', '.join(there)}; say which with --dataset NAME")
    if name is not None and name not in there:
        raise DataError(f"{root} holds no data set {name!r}; expected one of {', '.join(there)}")
    return root / (name or there[0])


@contextmanager
def only_run(run_folder: RunFolder) -> Iterator[None]:
    """Hold the run folder, whatever links lead to it; a second holder is refused. Freed when the process dies."""
    real = run_folder.path.resolve()
    held = f"{run_folder.path} is being written by another command; wait for it to end, or choose another --out"
    with locked(real.parent / f".{real.name}.lock", 0, held):
        yield


@contextmanager
def held_run(run_folder: RunFolder) -> Iterator[RunManifest]:
    """The manifest of a run that is there, with what a killed command left put right.

    While the run is held, no other command writes into its folder.

    Raises:
        DataError: there is no run.
        ConfigError: another command is writing into it.
    """
    run_folder.read_manifest()  # refuses what is no run before a lock file is made
    with only_run(run_folder):
        recover(run_folder)
        yield run_folder.read_manifest()


def open_run(
    run_folder: RunFolder,
    data: AtomicData,
    rules: Protocol,
    seed: int,
    fresh: bool,
    command: str,
    forget_searches: bool = False,
) -> RunManifest:
    """The run's manifest, with the split on disk and what a killed command left put right; the caller holds the folder.

    The manifest comes first, so that a folder is known to be a run's from the beginning.

    Args:
        run_folder: the run; its folder is made where it is missing.
        data: the data set.
        rules: the protocol.
        seed: the command's.
        fresh: delete what was made of the run so far, and nothing else.
        command: the command, for the manifest.
        forget_searches: with ``fresh``, also delete what `tune` made here.

    Raises:
        DataError: the folder holds something else, a run of other data or protocol, or the data hold nothing to find.
        ConfigError: the data lack what the protocol needs, or ``fresh`` would leave searches of other data or protocol.
    """
    wanted = RunManifest(
        dataset=data.name,
        atomic=str(data.folder.parent),
        data_hash=data.data_hash,
        protocol=rules.name,
        protocol_hash=rules.hash,
        seed=seed,
        versions=package_versions(),
        command=command,
        run_id=uuid.uuid4().hex,
        git_revision=_git_revision(),
        lacking=",".join([*data.lacking, *([KNOWN_USERS] if rules.name == BY_USER else [])]),
    )
    check_protocol(data, rules)
    there = _manifest_of(run_folder)
    if there is not None and not fresh:
        wanted = _continued(run_folder, there, wanted, rules)
    elif there is not None and not forget_searches:
        _check_searches_stand(run_folder, there, wanted, rules)
    if run_folder.path.is_dir():
        recover(run_folder)
    if fresh:
        _delete(run_folder.contents() + (run_folder.searches() if forget_searches else []), run_folder)
    run_folder.write_manifest(wanted)
    if there is None or not _split_is_whole(run_folder, wanted):
        write_split(split_data(data, rules), run_folder.split)
    _check_held_out(run_folder, data, rules)
    files = {path.name: stored_file(path) for path in sorted(run_folder.split.glob("*.parquet"))}
    if files != wanted.split:
        wanted = replace(wanted, split=files)
        run_folder.write_manifest(wanted)
    return wanted


def _manifest_of(run_folder: RunFolder) -> Optional[RunManifest]:
    """The manifest of an earlier run; None in a new folder. Raises DataError where something else stands there."""
    path = run_folder.path
    if run_folder.manifest.is_file():
        try:
            return run_folder.read_manifest()
        except DataError as error:
            raise DataError(
                f"{run_folder.manifest} is not what a run writes ({error}), so {path} is no run of ours; choose "
                "another --out, or move the folder away"
            ) from error
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file; expected a folder of a run, or nothing; choose another --out")
    # A run that was killed before it had a manifest has left at most this.
    there = sorted(path.iterdir()) if path.exists() else []
    strangers = [one for one in there if one.name != "split" and not is_temporary(one)]
    if strangers:
        raise DataError(
            f"{path} is not empty and holds no manifest.json, so it is no run of ours; choose another --out, or move "
            f"{strangers[0].name} and whatever else is there away"
        )
    return None


def _continued(run_folder: RunFolder, there: RunManifest, wanted: RunManifest, rules: Protocol) -> RunManifest:
    """The manifest of a run that goes on: it says how the folder began, and where the data are now."""
    for what, found, expected in _differences(there, wanted, rules):
        raise DataError(
            f"{run_folder.path} holds a run of other {what} (found {found}, expected {expected}), "
            "and results of both cannot stand on one board; choose another --out, or --fresh to start anew"
        )
    return replace(there, atomic=wanted.atomic, lacking=wanted.lacking, run_id=there.run_id or wanted.run_id)


def _differences(there: RunManifest, wanted: RunManifest, rules: Protocol) -> list[tuple[str, str, str]]:
    """What a folder was made from that a command does not want: (what, found, expected)."""
    same_protocol = there.protocol == rules.name and there.protocol_hash in (rules.hash, rules.hash_of_before)
    compared = (
        ("data", there.data_hash == wanted.data_hash, there.data_hash, wanted.data_hash),
        ("protocol", same_protocol, f"{there.protocol} {there.protocol_hash}", f"{rules.name} {rules.hash}"),
    )
    return [(what, found, expected) for what, same, found, expected in compared if not same]


def _check_searches_stand(run_folder: RunFolder, there: RunManifest, wanted: RunManifest, rules: Protocol) -> None:
    """Raise ConfigError where the folder holds searches that would stand beside a run of other data or protocol."""
    searched = run_folder.searched_models()
    for what, found, expected in _differences(there, wanted, rules) if searched else ():
        raise ConfigError(
            f"{run_folder.path} holds searches of `tune` on other {what} (found {found}, expected {expected}), which "
            f"--fresh would delete: {', '.join(searched)}; expected a folder of runs alone, or none; choose another "
            f"--out, or delete {' and '.join(path.name for path in run_folder.searches())} there"
        )


def _delete(paths: Sequence[Path], run_folder: RunFolder) -> None:
    """Delete what commands made of a run, and no other file. Whatever is left when it is killed, `recover` deletes."""
    run_folder.deleted.mkdir(parents=True, exist_ok=True)
    try:
        for path in paths:
            path.rename(run_folder.deleted / path.name)
        shutil.rmtree(run_folder.deleted)
    except BaseException:  # such as Ctrl-C
        shutil.rmtree(run_folder.deleted, ignore_errors=True)
        raise


def _split_is_whole(run_folder: RunFolder, manifest: RunManifest) -> bool:
    """Whether the split's files are those of the manifest; in a folder of an older version, whether they are there."""
    if not manifest.split:
        return all((run_folder.split / f"{part}.parquet").is_file() for part in ("train", "valid", "test"))
    paths = {name: run_folder.split / name for name in manifest.split}
    return all(path.is_file() and stored_file(path) == manifest.split[name] for name, path in paths.items())


def _check_held_out(run_folder: RunFolder, data: AtomicData, rules: Protocol) -> None:
    empty = [part for part, rows in held_out_rows(run_folder.split).items() if not rows]
    if empty:
        longest = int(data.interactions[USER].value_counts().max())
        raise DataError(
            f"the protocol {rules.name!r} holds out no row of {data.name} for {' and '.join(empty)}: its longest log "
            f"has {longest} rows, and min_rows is {rules.min_rows}; expected longer logs; convert data with more rows "
            "a user, or choose another --protocol"
        )


def _git_revision() -> Optional[str]:
    """The commit of the working directory's repository; None without git or a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git, or a folder that takes too long to search
        return None
    return done.stdout.strip() if done.returncode == 0 else None
