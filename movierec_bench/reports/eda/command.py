"""``eda``: reads a data set, counts, draws, and writes the page with its PNG and CSV files, all of them or none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Union

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.replacing import replaced_when_complete
from movierec_bench.errors import ConfigError
from movierec_bench.notebook import text_html
from movierec_bench.progress_bars import track
from movierec_bench.reports.eda.numbers.judged import BAD_BELOW, GOOD_FROM, Judgement, check_thresholds, judge
from movierec_bench.reports.eda.page import build_page
from movierec_bench.reports.pages import Page, write_page, write_png
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.command import check_positive
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset
from movierec_bench.runs.pictures import PicturesFolder
from movierec_bench.schema import PathLike
from movierec_bench.tracking.tracker import open_tracking

logger = logging.getLogger(__name__)

PAUSE_MINUTES = 60.0  # without a row, after which the next one begins a session
_ATOMIC, _RUNS = "atomic_data", "runs"  # where the other commands put what they make, unless told otherwise


@dataclass(frozen=True)
class Eda:
    """The pictures of a data set, on disk.

    Attributes:
        folder: holds ``index.html``, and for each picture its ``NAME.png`` and ``NAME.csv``.
        pictures: their names, in the page's order.
        run: the run whose models judged the users; None without one.
        data: the data set's folder.
        tracking: one line that says where MLflow has them, or why not; None where there was nothing to do.
    """

    folder: Path
    pictures: tuple[str, ...]
    run: Optional[Path]
    data: Path
    tracking: Optional[str] = None

    @property
    def page(self) -> Path:
        """The page, which needs none of the other files."""
        return PicturesFolder(self.folder).page

    def _repr_html_(self) -> str:
        return text_html(self.describe())

    def describe(self) -> str:
        """What was written, with which run, and where it is tracked."""
        judged = f"users judged by the models of {self.run}" if self.run else "no run to judge the users by"
        written = f"wrote {self.page} and {len(self.pictures)} pictures as PNG and CSV beside it; {judged}"
        return written if self.tracking is None else f"{written}\n{self.tracking}"


def eda(
    dataset: Optional[str] = None,
    out: PathLike = "eda",
    run: Optional[PathLike] = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    bad_below: float = BAD_BELOW,
    good_from: float = GOOD_FROM,
    pause: float = PAUSE_MINUTES,
    atomic: Optional[PathLike] = None,
    quiet: bool = False,
    tracking_uri: Optional[str] = None,
    no_track: bool = False,
) -> Eda:
    """Draw what is in a data set: a page that needs nothing else, and each picture as PNG and CSV.

    Args:
        dataset: a converted data set; None: the run's, or the only one there is.
        out: folder that gets a folder named after the data set; one that `eda` made there earlier is replaced.
        run: a run's folder, whose models judge the users; None: ``runs/<dataset>`` where that is of these data.
        judges: models or mixes of the run, comma-separated or a sequence; None: the four best on validation.
        bad_below: a user is bad where every judge's validation Recall@10 is below this.
        good_from: a user is good where every judge's is at least this.
        pause: a session ends with a pause of more than so many minutes.
        atomic: folder of the converted data sets; None: the run's, or ``atomic_data``.
        quiet: no progress bar.
        tracking_uri: where the run is tracked, as in `track`; pictures beside the runs become its artifacts.
        no_track: leave MLflow alone, as does ``MOVIEREC_BENCH_TRACK=0``.

    Returns:
        What was written.

    Raises:
        DataError: no such data set or run, a run of other data, or one that nothing can judge with.
        ConfigError: a model that the run lacks, a number out of its range, or a folder that cannot be written.
    """
    check_positive("--pause", pause)
    check_thresholds(bad_below, good_from)
    data, judged_by = _data_and_run(dataset, run, atomic)
    folder = PicturesFolder(Path(out) / data.name)
    _check_target(folder)
    names = [name.strip() for name in judges.split(",")] if isinstance(judges, str) else judges
    page = build_page(data, _judgement(data, judged_by, names, bad_below, good_from), pause)
    names_drawn = tuple(figure.name for figure in page.figures())
    made = Eda(folder.path, names_drawn, judged_by.path if judged_by else None, data.folder)
    if judged_by is None or PicturesFolder.beside(judged_by, data.name).path != folder.path.resolve():
        _write(folder, data, page, quiet)
        return made
    with open_tracking(judged_by, tracking_uri, no_track) as tracking:
        _write(folder, data, page, quiet)
    return replace(made, tracking=tracking.line)


def _judgement(
    data: AtomicData, run: Optional[RunFolder], judges: Optional[Sequence[str]], bad_below: float, good_from: float
) -> Union[Judgement, str]:
    """What the models of ``run`` say of the users; without a run, how to come by one."""
    if run is not None:
        return judge(run, data.movies, judges, bad_below, good_from)
    if judges is not None:
        raise ConfigError(f"there is no run of {data.name} for the judges to be of; name it with --run RUN")
    return (
        "To tell the users that every model does badly on takes a run of these data with a scored model, and there is "
        f"none in {_RUNS}/{data.name}. Make one with: python -m movierec_bench run --dataset {data.name}. Or name "
        "another with --run. Then make this page again."
    )


def _data_and_run(
    dataset: Optional[str], run: Optional[PathLike], atomic: Optional[PathLike]
) -> tuple[AtomicData, Optional[RunFolder]]:
    """The data set, and the run that is named or found whose models may judge its users."""
    if run is not None:
        named = RunFolder(Path(run))
        of = named.read_manifest().dataset
        if dataset not in (None, of):
            raise ConfigError(
                f"{named.path} is a run of {of}, not of {dataset}; expected one of them; leave out the other"
            )
        return read_data(named, atomic), named
    data = read_atomic(find_dataset(atomic or _ATOMIC, dataset))
    found = RunFolder(Path(_RUNS) / data.name)
    if not found.manifest.is_file():
        return data, None
    if found.read_manifest().data_hash != data.data_hash:
        logger.warning("%s is a run of other data than %s; its models do not judge the users", found.path, data.folder)
        return data, None
    if not any(folder.finished() for folder in found.models()):
        logger.warning("%s has no scored model yet to judge the users", found.path)
        return data, None
    return data, found


def _check_target(folder: PicturesFolder) -> None:
    """Refuse, before any work, to replace what is no earlier page of ours."""
    path = folder.path
    if not path.exists():
        return
    strangers = folder.strangers() if path.is_dir() else [path.name]
    if strangers and not folder.is_ours():
        raise ConfigError(
            f"{path} is there and was not made by eda; expected nothing, or earlier pictures to replace; move it "
            "away, or give another folder as --out"
        )
    if strangers:
        raise ConfigError(
            f"{path} holds {strangers[0]}, which was not made by eda and would be deleted; expected earlier pictures "
            f"alone; move {strangers[0]} away, or give another folder as --out"
        )


def _write(target: PicturesFolder, data: AtomicData, page: Page, quiet: bool) -> None:
    """Write the page, the pictures and their numbers: all of them, or none."""
    figures = page.figures()
    try:
        with replaced_when_complete(target.path) as path:
            fresh = PicturesFolder(path)
            for figure in track(figures, "pictures", quiet):
                write_png(fresh.png(figure.name), figure)
                write_csv(fresh.csv(figure.name), figure.to_frame())
            write_page(fresh.page, page)
            fresh.write_manifest(data.name, data.data_hash, [figure.name for figure in figures])
    except OSError as error:
        raise ConfigError(
            f"{target.path} cannot be written ({error.strerror}); expected room and permission to write there; free "
            "it, or give another folder as --out"
        ) from error
