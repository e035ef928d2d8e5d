"""`report`: a run's folder to one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from movierec_bench.errors import ConfigError
from movierec_bench.reports.pages import Note, Page, Section, write_page
from movierec_bench.reports.report.alike import alike_chapter
from movierec_bench.reports.report.curves import learning_chapter, recall_chapter, time_chapter
from movierec_bench.reports.report.kinds import movies_chapter, users_chapter
from movierec_bench.reports.report.material import Material, read_material
from movierec_bench.reports.report.records import failures_chapter, mixes_chapter, setup_chapter
from movierec_bench.reports.report.repeated import seeds_chapter
from movierec_bench.reports.report.standing import best_chapter, board_chapter, contenders
from movierec_bench.reports.report.user_pack import UserPack, pack_users
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.output_files import check_output
from movierec_bench.runs.records import FAILED
from movierec_bench.schema import STATUS, PathLike

_TITLE = "Report: "
_BYTES_OF_A_HEAD = 1 << 12  # of a page, up to its title and beyond


def report(
    run: PathLike,
    out: Optional[PathLike] = None,
    users: Optional[Union[str, Sequence[object]]] = None,
    users_file: Optional[PathLike] = None,
    atomic: Optional[PathLike] = None,
) -> Path:
    """Write the report of the run in folder ``run``: one HTML page that loads nothing from elsewhere.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        out: the page; None for ``report.html`` in the run's folder.
        users: ids that the page must be able to show, comma-separated or a sequence. Where not all users fit, the
            others are a stratified sample.
        users_file: a text file with more such ids, one a line.
        atomic: folder that holds the data set's folder; None for the run's own. Without the data the page shows
            ids for titles, and leaves out what needs genres and years.

    Returns:
        The page's path.

    Raises:
        DataError: ``run`` is no run folder, or its split cannot be read.
        ConfigError: a user without a row in the run, a file of users that cannot be read, or a page ``out`` that is
            there and is no report.
    """
    if out is not None:
        check_output("--out", Path(out), "report", _is_report, () if users_file is None else (users_file,))
    wanted = _wanted(users, users_file)
    material = read_material(run, atomic)
    path = RunFolder(Path(run)).report if out is None else Path(out)
    write_page(path, make_page(material, pack_users(material, wanted)))
    return path


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return f"<title>{_TITLE}".encode() in file.read(_BYTES_OF_A_HEAD)


def make_page(material: Material, pack: UserPack) -> Page:
    """The page in memory."""
    chapters = (
        board_chapter(material),
        best_chapter(material),
        seeds_chapter(material),
        recall_chapter(material),
        time_chapter(material),
        learning_chapter(material),
        alike_chapter(material),
        users_chapter(material),
        movies_chapter(material),
        mixes_chapter(material),
        _chosen_user_chapter(material, pack),
        failures_chapter(material),
        setup_chapter(material),
    )
    return Page(
        title=f"{_TITLE}{material.board.manifest.dataset}",
        lead=_lead(material),
        sections=chapters,
        facts=_facts(material),
        scripts=("report.js",),
        styles=("report.css",),
        data={"pack": pack.for_page()},
    )


def _chosen_user_chapter(material: Material, pack: UserPack) -> Section:
    if len(pack.users) == pack.scored:
        intro = f"All {pack.scored:,} users with test rows are here."
    else:
        intro = (
            f"{len(pack.users):,} of {pack.scored:,} users with test rows are here: those that were asked for, and a "
            "sample that is even over short and long logs, and over users whom the models serve badly and well. "
            "`python -m movierec_bench report RUN --users ID,ID` puts others in."
        )
    parts = (Note(f"Titles are missing, so movies are shown by id. {material.movies_missing}"),)
    missing = parts if material.movies is None else ()
    return Section("user", "One user", intro, missing, template="report_user.html", content=pack)


def _lead(material: Material) -> str:
    manifest, best = material.board.manifest, material.board.best
    if best is None:
        return f"A run on {manifest.dataset} in which no model was scored yet."
    others = len(contenders(material)) - 1
    first = f"{best} puts the most hidden movies into users' ten recommendations"
    shared = (
        f", though {others} other {'models are' if others > 1 else 'model is'} not shown to be worse" if others else ""
    )
    return f"On {manifest.dataset}, {first}: recall@10 {material.recall_of(best):.4f}{shared}."


def _facts(material: Material) -> tuple[tuple[str, str], ...]:
    split, board = material.split, material.board
    rows = sum(map(len, (split.train, split.valid, split.test)))
    failed = int((board.table[STATUS] == FAILED).sum())
    return (
        ("models and mixes", f"{len(board.table):,}" + (f", {failed} failed" if failed else "")),
        ("users with test rows", f"{len(material.test.users):,}"),
        ("interactions", f"{rows:,}"),
        ("held-out test rows", f"{len(material.test.user_of):,}"),
        ("protocol", board.manifest.protocol + (", listed candidates" if board.manifest.lists_candidates else "")),
        ("seed", str(board.manifest.seed)),
    )


def _wanted(users: Optional[Union[str, Sequence[object]]], users_file: Optional[PathLike]) -> list[str]:
    given = users.split(",") if isinstance(users, str) else [str(user) for user in users or ()]
    if users_file is not None:
        try:
            given += Path(users_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{users_file} cannot be read ({error}); expected a text file with one user id a line"
            ) from error
    return [user.strip() for user in given if user.strip()]
