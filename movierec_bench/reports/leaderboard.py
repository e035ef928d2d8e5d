"""The board of a run, made from what lies in its folder, and the command `leaderboard`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union, overload

import pandas as pd

from movierec_bench.data.user_groups import LIST_COLUMNS, Judging
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.confidence_set import (
    LEVEL,
    P_BEST,
    TESTS_COLUMNS,
    compare_with_best,
)
from movierec_bench.reports.board import Board
from movierec_bench.reports.board_columns import (
    COUNTS,
    DAMAGED,
    DEVICE,
    FILTER,
    FURTHER_COLUMNS,
    MADE_WITH,
    MAY_BE_BEST,
    NO,
    SEED,
    STALE,
    TEST_FIT_SECONDS,
    TEXTS,
    UNFINISHED,
    YES,
)
from movierec_bench.reports.made_with import differences
from movierec_bench.reports.more_columns import depths_of, more_columns
from movierec_bench.reports.over_seeds import seed_columns
from movierec_bench.reports.segment_board import SegmentBoard, build_segment_board
from movierec_bench.reports.user_segments import GOOD, JUDGES, best_on_validation, run_segments
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.output_files import check_output, has_columns
from movierec_bench.runs.publishing import damaged
from movierec_bench.runs.records import BUDGET, DONE, FAILED, REDO, Status
from movierec_bench.runs.seeds import is_further_seed
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import (
    BOARD_COLUMNS,
    EPOCHS,
    ERROR,
    FAMILY,
    FIT_SECONDS,
    MAIN_METRIC,
    MISSING_USERS,
    MODEL,
    PEAK_RSS,
    PLACE,
    RANK_SECONDS,
    REFIT_SECONDS,
    SOURCE,
    STATUS,
    USERS,
    PathLike,
)

logger = logging.getLogger(__name__)


@overload
def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    by: None = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> Board: ...


@overload
def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    *,
    by: str,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> SegmentBoard: ...


def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    by: Optional[str] = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> Union[Board, SegmentBoard]:
    """The board of the run in folder ``run``, sorted and filtered, in all or by segment of the users.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        sort: the column to sort by; with ``by``, a column of the board in all.
        family: show this family only.
        status: show models of this status only.
        by: length, span, age, focus or good; or a file of users (one id a line, or CSV with user and segment). None
            for the board in all.
        judges: for ``by="good"``, the models that tell good users from bad ones, comma-separated or a sequence;
            None for the best four on validation.
        atomic: for ``by="focus"``, the folder that holds the data set's folder; None for the run's own.
        threshold: for ``by="good"``, the validation Recall@10, averaged over the judges, above which a user is good.
            None for the mean of the users.
        users_out: with ``by``, also write every user and its segment here, as CSV: a file for ``run --only-users``.
        k: also Recall and NDCG at these depths, comma-separated, up to 100; from stored rankings.
        beyond: also novelty, Gini coefficient, and recall of popular and of other movies; from stored rankings.

    Returns:
        A Board, or with ``by`` a SegmentBoard. Its table of all models, whatever the filters, is also written
        to ``leaderboard_by_<by>.csv`` in the run's folder.

    Raises:
        DataError: ``run`` is no run folder; with ``by``, no model was scored, or other data than the run's.
        ConfigError: no such column, family, status, kind of segment or judge, or judges where they have no say; with
            ``by``, another command is writing into the folder, or ``users_out`` is there and is no such list.
    """
    for what, value in (("judges", judges), ("a threshold", threshold), ("--users-out", users_out)):
        if by is None and value is not None:
            raise ConfigError(f"{what} given without segments; expected a kind of them; add --by {GOOD}")
    folder = RunFolder(Path(run))
    depths = [] if k is None else depths_of(k)
    if by is None:
        return _widened(build_board(folder), folder, depths, beyond).select(sort, family, status)
    if depths or beyond:
        raise ConfigError("--k and --beyond are columns of the board in all; leave them out, or leave out --by")
    if users_out is not None:
        check_output(
            "--users-out", Path(users_out), "list of users", lambda path: has_columns(path, *LIST_COLUMNS), (by,)
        )
    with held_run(folder):
        board = build_board(folder).select(sort, family, status)
        board = replace(board, table=board.table[~board.table[MODEL].map(is_further_seed).astype(bool)])
        segments = build_segment_board(folder, by, board.table, judges, atomic, threshold)
        if users_out is not None:
            chosen = [name.strip() for name in judges.split(",")] if isinstance(judges, str) else judges
            told = run_segments(run, by, chosen, atomic, threshold)
            if by == GOOD:  # so that whoever reads the file knows which rows had a say in it
                told = Judging(tuple(chosen or best_on_validation(folder, JUDGES)), threshold).written_on(told)
            write_csv(Path(users_out), told)
        return segments


def _widened(board: Board, run: RunFolder, depths: Sequence[int], beyond: bool) -> Board:
    """The board with further columns for its placed models."""
    if not depths and not beyond:
        return board
    placed = board.table.loc[board.table[PLACE].notna(), MODEL].tolist()
    columns = more_columns(run, placed, depths, beyond)
    added = [name for name in columns if name not in board.table]
    table = board.table.merge(columns[[MODEL, *added]], on=MODEL, how="left")
    return replace(board, table=table, added=tuple(added))


def build_board(run: RunFolder) -> Board:
    """The board of everything under ``run``: models and ensembles, finished or not.

    Raises:
        DataError: ``run`` is no run folder.
    """
    manifest = run.read_manifest()
    folders = run.models() + run.ensembles()
    rows = [_row(run, folder) for folder in folders]
    per_user = {}
    for row, folder in zip(rows, folders):
        if row[STATUS] in (DONE, BUDGET) and folder.per_user.exists():
            try:
                per_user[folder.name] = folder.read_per_user((MAIN_METRIC,))
            except DataError as error:  # one damaged file must not hide the other models
                row.update({STATUS: DAMAGED, ERROR: str(error)})
    made_with = differences([status for status in map(ModelFolder.finished, folders) if status is not None])
    rows = [{**row, MADE_WITH: made_with.get(row[MODEL], "")} for row in rows]
    table = _placed(pd.DataFrame(rows, columns=[*BOARD_COLUMNS, *FURTHER_COLUMNS]))
    placed = table.loc[table[PLACE].notna(), MODEL].tolist()
    best = placed[0] if placed else None
    compared = _compared(per_user, placed, manifest.seed)
    table[P_BEST] = table[MODEL].map(compared.set_index(MODEL)[P_BEST]).astype(float)
    table[MAY_BE_BEST] = [_may_be_best(p_best) for p_best in table[P_BEST]]
    if best is not None:
        table = table.merge(seed_columns(run, best), on=MODEL, how="left")
    return Board(table, compared[compared[MODEL] != best].reset_index(drop=True), best, manifest, run.path)


def _may_be_best(p_best: float) -> str:
    if math.isnan(p_best):
        return ""
    return YES if p_best >= LEVEL else NO


def _row(run: RunFolder, folder: ModelFolder) -> dict[str, Any]:
    if not folder.status.exists():
        reason = "no status.json: still training, or its process was killed; run again to finish it"
        return {MODEL: folder.name, STATUS: UNFINISHED, ERROR: reason}
    try:
        status = folder.read_status()
    except DataError as error:  # one damaged file must not hide the other models
        return {MODEL: folder.name, STATUS: FAILED, ERROR: str(error)}
    if status.model != folder.name:
        reason = f"holds the result of {status.model}: a copied or renamed folder; delete it or give it its name back"
        return {MODEL: folder.name, STATUS: UNFINISHED, ERROR: reason}
    row = _status_row(status)
    lost = damaged(run, folder, status)
    if lost:
        return {**row, STATUS: DAMAGED, ERROR: f"{', '.join(lost)} damaged or gone; {REDO}"}
    stale = why_stale(run, status)
    return {**row, STATUS: STALE, ERROR: stale} if stale else row


def _status_row(status: Status) -> dict[str, Any]:
    row = {
        MODEL: status.model,
        FAMILY: status.family,
        SOURCE: status.source,
        STATUS: status.state,
        FIT_SECONDS: status.seconds.fit,
        RANK_SECONDS: status.seconds.rank,
        REFIT_SECONDS: status.seconds.refit,
        PEAK_RSS: status.peak_rss_mb,
        EPOCHS: status.epochs,
        ERROR: status.error,
        FILTER: status.filter,
        DEVICE: status.device,
        TEST_FIT_SECONDS: status.seconds.test_fit,
        SEED: status.seed,
    }
    scored = {USERS: status.users, MISSING_USERS: status.missing_users, **status.metrics}
    return {**row, **scored} if status.metrics else row


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` typed, sorted, and numbered from 1 as far as models were scored to the end.

    A further seed has no place: the luckiest of five would come before the only one of a better model.
    """
    rows = rows.astype(dict.fromkeys(COUNTS, "Int64"))
    rows = rows.astype({c: float for c in rows.columns if c not in COUNTS + TEXTS})
    texts = [column for column in TEXTS if column in rows]
    rows[texts] = rows[texts].astype(object).where(rows[texts].notna(), "")
    ended = (
        rows[STATUS].isin((DONE, BUDGET)) & rows[MAIN_METRIC].notna() & ~rows[MODEL].map(is_further_seed).astype(bool)
    )
    ranked = rows[ended].sort_values([MAIN_METRIC, MODEL], ascending=[False, True])
    ranked[PLACE] = pd.array(range(1, len(ranked) + 1), dtype="Int64")
    return pd.concat([ranked, rows[~ended].sort_values(MODEL)], ignore_index=True)


def _compared(per_user: Mapping[str, pd.DataFrame], placed: Sequence[str], seed: int) -> pd.DataFrame:
    """All placed models beside the first; those without stored per-user results are left out."""
    stored = [name for name in placed if name in per_user]
    if not stored or stored[0] != placed[0]:
        return pd.DataFrame(columns=list(TESTS_COLUMNS))
    return compare_with_best({name: per_user[name] for name in stored}, seed)
