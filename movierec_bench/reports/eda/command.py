"""``eda``: reads a data set, counts, draws, and writes the page with its PNG and CSV files, all of them or none."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from rich.console import Console
from rich.progress import track as progress_bar

from movierec_bench.data.atomic import MANIFEST, AtomicData, read_atomic, replaced_when_complete
from movierec_bench.errors import ConfigError
from movierec_bench.reports.eda.numbers.judged import BAD_BELOW, GOOD_FROM, Judgement, check_thresholds, judge
from movierec_bench.reports.eda.page import build_page
from movierec_bench.reports.pages import Page, write_page, write_png
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.command import check_positive
from movierec_bench.runs.files import write_csv, write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset
from movierec_bench.schema import PathLike

logger = logging.getLogger(__name__)

PAGE = "index.html"
PAUSE_MINUTES = 60.0  # without a row, after which the next one begins a session
_ATOMIC, _RUNS = "atomic_data", "runs"  # where the other commands put what they make, unless told otherwise


@dataclass(frozen=True)
class Eda:
    """The pictures of a data set, on disk.

    Attributes:
        folder: holds ``index.html``, and for each picture its ``NAME.png`` and ``NAME.csv``.
        pictures: their names, in the page's order.
        run: the run whose models judged the users; None without one.
    """

    folder: Path
    pictures: tuple[str, ...]
    run: Optional[Path]

    @property
    def page(self) -> Path:
        """The page, which needs none of the other files."""
        return self.folder / PAGE

    def describe(self) -> str:
        """What was written, and with which run."""
        judged = f"users judged by the models of {self.run}" if self.run else "no run to judge the users by"
        return f"wrote {self.page} and {len(self.pictures)} pictures as PNG and CSV beside it; {judged}"


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

    Returns:
        What was written.

    Raises:
        DataError: no such data set or run, a run of other data, or one that nothing can judge with.
        ConfigError: a model that the run lacks, a number out of its range, or a folder that cannot be written.
    """
    check_positive("--pause", pause)
    check_thresholds(bad_below, good_from)
    data, judged_by = _data_and_run(dataset, run, atomic)
    folder = Path(out) / data.name
    _check_target(folder)
    names = [name.strip() for name in judges.split(",")] if isinstance(judges, str) else judges
    judgement: Union[Judgement, str]
    if judged_by is None:
        if names is not None:
            raise ConfigError(f"there is no run of {data.name} for the judges to be of; name it with --run RUN")
        judgement = (
            f"To tell the users that every model does badly on takes a run of these data, and there is none in "
            f"{_RUNS}/{data.name}. Make one with `python -m movierec_bench run --dataset {data.name}`, or name another "
            "with --run, and make this page again."
        )
    else:
        judgement = judge(judged_by, data.movies, names, bad_below, good_from)
    page = build_page(data, judgement, pause)
    _write(folder, data, page, quiet)
    return Eda(folder, tuple(figure.name for figure in page.figures()), None if judged_by is None else judged_by.path)


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


def _check_target(folder: Path) -> None:
    """Refuse, before any work, to replace what is no earlier page of ours."""
    if folder.exists() and not (folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))):
        raise ConfigError(
            f"{folder} is there and was not made by eda; expected nothing, or earlier pictures to replace; move it "
            "away, or give another folder as --out"
        )


def _write(folder: Path, data: AtomicData, page: Page, quiet: bool) -> None:
    figures = page.figures()
    manifest = {
        "dataset": data.name,
        "data_hash": data.data_hash,
        "pictures": [figure.name for figure in figures],
    }
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    try:
        with replaced_when_complete(folder) as fresh:
            for figure in progress_bar(figures, "pictures", console=console, disable=hidden, transient=True):
                write_png(fresh / f"{figure.name}.png", figure)
                write_csv(fresh / f"{figure.name}.csv", figure.to_frame())
            write_page(fresh / PAGE, page)
            write_text(fresh / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}); expected room and permission to write there; free it, or "
            "give another folder as --out"
        ) from error
