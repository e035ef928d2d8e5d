"""What a kept model recommends: to the users it knows, and to people it never saw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import pandas as pd

from movierec_bench.errors import ConfigError, DataError, ModelError
from movierec_bench.runs.command import check_positive
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.output_files import check_output, has_columns
from movierec_bench.schema import DATES, ITEM, POSITIONS, RANK, SCORE, TIME, TITLE, USER, K, PathLike
from movierec_bench.settings.catalog import KNOWN_USERS, REQUIREMENTS

if TYPE_CHECKING:  # torch and RecBole take seconds to import
    from rich.table import Table

    from movierec_bench.data.atomic import AtomicData
    from movierec_bench.data.interactions import Interactions
    from movierec_bench.data.vocabulary import Vocabulary
    from movierec_bench.kept.model_folder import Kept

Ids = Union[str, int, Iterable[Union[str, int]]]
EVERYBODY = "all"
NO_FILTER = "none"
_COLUMNS = (USER, ITEM, RANK, SCORE, TITLE)
_SHOWN_USERS = 20  # on the terminal


@dataclass(frozen=True)
class Recommendations:
    """Ranked movies with their titles.

    Args:
        model: the model's name.
        table: user, item, rank from 1, score, title; users in the order they were asked for, their best movie first.
            ``user`` counts from 0 where the histories are of people whom the model never saw.
        watched: what each of these people has watched: titles, or ids where there are none; None for users it knows.
        run: the folder of the run that kept the model; None where the model came from elsewhere.
    """

    model: str
    table: pd.DataFrame
    watched: Optional[tuple[tuple[str, ...], ...]] = None
    run: Optional[Path] = None

    def to_frame(self) -> pd.DataFrame:
        """The whole table."""
        return self.table.copy()

    def to_rich(self) -> Table:
        """A table for the terminal: of many users, the first few."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        users = self.table[USER].drop_duplicates()
        shown = self.table[self.table[USER].isin(users[:_SHOWN_USERS])]
        more = f"the first {_SHOWN_USERS} of {len(users)} users" if len(users) > _SHOWN_USERS else None
        alone = self.watched is not None and len(self.watched) == 1
        after = f" after {'; '.join(self.watched[0])}" if self.watched and alone else ""
        title = Text(f"{self.model} recommends{after}")
        table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), caption=more)
        names = [USER] * (not alone) + [RANK, ITEM] + [TITLE] * bool(self.table[TITLE].any())
        for name in (*names, SCORE):
            table.add_column(name, justify="left" if name == TITLE else "right")
        for row in shown.itertuples():
            cells = (getattr(row, name) for name in names)
            table.add_row(*(Text(str(cell)) for cell in cells), f"{getattr(row, SCORE):.4f}")
        return table

    def _repr_html_(self) -> str:
        """For notebooks."""
        return str(self.table.to_html(index=False))


@dataclass(frozen=True)
class KeptModel:
    """A kept model, ready to recommend.

    Attributes:
        kept: the model and its data.
    """

    kept: Kept

    @property
    def name(self) -> str:
        """The model's name."""
        return self.kept.ranker.entry.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that took effect."""
        from movierec_bench.recbole_backend.config import effective_parameters

        return effective_parameters(self.kept.ranker.entry, self.kept.ranker.config)

    @property
    def knows_strangers(self) -> bool:
        """Whether it can recommend to people it was not trained on."""
        return KNOWN_USERS not in self.kept.ranker.entry.requires

    def recommend(
        self,
        users: Optional[Ids] = None,
        items: Optional[Ids] = None,
        k: int = K,
        filter: Optional[str] = None,
    ) -> Recommendations:
        """The best movies for users it was trained on, or for a person with a history of their own.

        Args:
            users: ids of the data, comma-separated or a sequence; ``all`` for everybody.
            items: what a person has watched, in this order: ids of the data, comma-separated or a sequence.
            k: movies a user.
            filter: drops candidates, as in `run`. None: the filter of the model's run; ``none``: no filter.

        Raises:
            ConfigError: not exactly one of ``users`` and ``items``, or a filter that these data cannot have.
            DataError: an id that is not in the data.
            ModelError: the model cannot rank people it never saw.
        """
        if (users is None) == (items is None):
            raise ConfigError(
                f"{'neither' if users is None else 'both'} of --users and --items given; expected --users or --items, "
                "one of them: whom to recommend to, or what they have watched"
            )
        if items is not None:
            return self.recommend_for_histories([items], k, filter)
        vocabulary = self.kept.data.vocabulary
        everybody = isinstance(users, str) and users == EVERYBODY
        asked = vocabulary.users if everybody else _ids(users, vocabulary.users, "--users")
        there = set(vocabulary.users.tolist())
        unknown = [user for user in asked.tolist() if user not in there]
        if unknown:
            raise DataError(
                f"user {unknown[0]} is not among the {len(vocabulary.users)} users of {self.kept.data.name}; for "
                "somebody new give --items: ids of what they have watched, in that order"
            )
        user_ix = vocabulary.user_ix(asked)
        return self._ranked(vocabulary, self.kept.data.interactions, user_ix, k, filter)

    def recommend_for_histories(
        self, histories: Sequence[Ids], k: int = K, filter: Optional[str] = None
    ) -> Recommendations:
        """The best movies for people it never saw; ``user`` of the table is the place in ``histories``, from 0.

        Args:
            histories: what each person has watched, in this order; see `recommend`.
            k: movies a person.
            filter: as in `recommend`.

        Raises:
            ConfigError: a filter that these data cannot have.
            DataError: an id that is not in the data, or a person without a movie.
            ModelError: the model cannot rank people it never saw.
        """
        if not self.knows_strangers:
            raise ModelError(
                f"{self.name} needs {REQUIREMENTS[KNOWN_USERS].split(',')[0]}: it learns something of each "
                "user and has nothing of others; give --users of the data, or one that reads histories, such as EASE"
            )
        data = self.kept.data
        watched = [_ids(history, data.vocabulary.items, "--items") for history in histories]
        for items in watched:
            _check_movies(items, data)  # an unknown one is told before any work
        rows, vocabulary = _with_strangers(self.kept, watched)
        user_ix = range(data.vocabulary.n_user_ix, vocabulary.n_user_ix)
        ranked = self._ranked(vocabulary, rows, user_ix, k, filter)
        places = vocabulary.user_ix(ranked.table[USER].to_numpy()) - data.vocabulary.n_user_ix
        titles = data.movies.set_index(ITEM)[TITLE]
        named = tuple(tuple(titles.loc[item] or str(item) for item in items) for items in watched)
        return replace(ranked, table=ranked.table.assign(**{USER: places}), watched=named)

    def _ranked(
        self, vocabulary: Vocabulary, rows: pd.DataFrame, user_ix: Iterable[int], k: int, filter: Optional[str]
    ) -> Recommendations:
        """Rank the users ``user_ix`` of ``vocabulary`` from ``rows``, which are all that anybody has seen."""
        import numpy as np

        from movierec_bench.data.interactions import Interactions
        from movierec_bench.ranking.candidate_filters import Filters
        from movierec_bench.ranking.top_k import topk_frame

        check_positive("--k", k)
        ranker, data = self.kept.ranker, self.kept.data
        filters = Filters.parse(self.kept.filter if filter is None else "" if filter == NO_FILTER else filter)
        filters.check_data(data.lacking, data.name, f"give --filter {NO_FILTER}")
        history: Interactions = (
            self.kept.rows if vocabulary is data.vocabulary else Interactions.from_rows(rows, vocabulary)
        )
        users = np.asarray(list(user_ix), dtype=np.int64)
        able = ranker.able(history)
        if not able[users].all():
            unable = vocabulary.user_ids(users[~able[users]])[0]
            raise DataError(
                f"user {unable} has no rows in what {self.name} was trained on; expected users with a history; "
                "leave them out, or give --items"
            )
        allowed = filters.candidates(data.movies, rows, vocabulary)
        table = topk_frame(ranker.rank(history, users, k, allowed), vocabulary)
        titles = data.movies.set_index(ITEM)[TITLE]
        return Recommendations(self.name, table.assign(**{TITLE: titles.loc[table[ITEM]].to_numpy()}))


def load(run: PathLike, model: str, inference: Optional[str] = None, configs: Optional[PathLike] = None) -> KeptModel:
    """Load a model that `run` kept; nothing is trained, and nothing in its folder is executed.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        model: the model's name.
        inference: another value of the model's parameter ``inference``, as BERT4Rec has one. None: as trained.
        configs: a user's own configuration folder, as in `run`; the code of a model that is the user's own is taken
            from there.

    Raises:
        ConfigError: no such model, one that was not kept, or no such parameter.
        DataError: a file of it is missing or damaged.
    """
    folder = RunFolder(Path(run)).find(model)
    if not folder.kept.is_dir():
        raise ConfigError(
            f"{folder.kept} is not there: {model} was not kept; expected a model of `run --keep-models`; run it again "
            "with that flag (what is finished stays, and only the refit is repeated)"
        )
    return load_folder(folder.kept, inference, configs)


def load_folder(folder: PathLike, inference: Optional[str] = None, configs: Optional[PathLike] = None) -> KeptModel:
    """As `load`, from the model's own folder, wherever it has been copied to."""
    from movierec_bench.kept.model_folder import read_kept

    return KeptModel(read_kept(Path(folder), {} if inference is None else {"inference": inference}, configs))


def recommend(
    run: PathLike,
    model: str,
    users: Optional[Ids] = None,
    items: Optional[Ids] = None,
    k: int = K,
    filter: Optional[str] = None,
    inference: Optional[str] = None,
    out: Optional[PathLike] = None,
    configs: Optional[PathLike] = None,
) -> Recommendations:
    """Recommend movies with a model that `run --keep-models` kept, also to people it never saw.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        model: the model's name.
        users: users of the data: ids, comma-separated or a sequence; ``all`` for everybody.
        items: what a person has watched, in this order: ids of movies, comma-separated or a sequence.
        k: movies a user.
        filter: drop candidates, as `run` does; the model is not trained again. None: as in the model's run;
            ``none``: no filter.
        inference: another value of the model's parameter ``inference``, as BERT4Rec has one. None: as trained.
        out: also write the table here, as CSV.
        configs: a user's own configuration folder, as in `run`; the code of a model that is the user's own is taken
            from there.

    Returns:
        The movies with their titles.

    Raises:
        ConfigError: no such model, one that was not kept, flags that do not go together, or a file ``out`` that is
            there and is no such table.
        DataError: an id that is not in the data, or a damaged file.
        ModelError: the model cannot rank people it never saw.
    """
    if out is not None:
        check_output("--out", Path(out), "table of recommendations", lambda path: has_columns(path, _COLUMNS))
    ranked = load(run, model, inference, configs).recommend(users, items, k, filter)
    if out is not None:
        write_csv(Path(out), ranked.table)
    return replace(ranked, run=Path(run))


def _ids(given: Optional[Ids], known: Any, flag: str) -> Any:
    """Ids as the data has them, each once: numbers, or texts. Raises DataError where there is none, or no number."""
    import numpy as np

    if isinstance(given, str):
        words: list[Any] = [word for word in re.split(r"\s*,\s*", given.strip()) if word]
    else:
        words = [given] if isinstance(given, (int, np.integer)) else list(given or [])
    if not words:
        raise DataError(f"{flag} names none; expected ids of the data, joined by commas")
    words = list(dict.fromkeys(words))
    if known.dtype != np.int64:
        return np.array([str(word) for word in words], dtype=object)
    try:
        return np.array([int(word) for word in words], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{flag} {given}: {error}; expected whole numbers, as the ids of these data are") from error


def _check_movies(items: Any, data: AtomicData) -> None:
    known = data.vocabulary.items
    there = set(known.tolist())
    for item in items.tolist():
        if item not in there:
            raise DataError(
                f"movie {item} is not among the {len(known)} movies of {data.name}; expected ids as they are in these "
                f"data, such as {known[0]}"
            )


def _with_strangers(kept: Kept, watched: Sequence[Any]) -> tuple[pd.DataFrame, Vocabulary]:
    """All rows and those of new users, who come after all others; they watched last of all, in the order given."""
    import numpy as np

    from movierec_bench.data.vocabulary import Vocabulary

    data = kept.data
    users = data.vocabulary.users
    if users.dtype == np.int64:
        new = users[-1] + 1 + np.arange(len(watched))
    else:
        new = np.array([f"{users[-1]}\U0010ffff{place:09d}" for place in range(len(watched))], dtype=object)
    latest = int(kept.rows.time.max()) if data.times == DATES else 0
    times = [_times(len(items), latest, data.times) for items in watched]
    fresh = pd.DataFrame(
        {
            USER: np.repeat(new, [len(items) for items in watched]),
            ITEM: np.concatenate(watched),
            TIME: np.concatenate(times),
        }
    )
    vocabulary = Vocabulary(np.concatenate([users, new]), data.vocabulary.items)
    return pd.concat([data.interactions, fresh], ignore_index=True), vocabulary


def _times(n: int, latest: int, kind: str) -> Any:
    """Int64 [n]: one second after the other, the last when the log ends; or places, where the log has those."""
    import numpy as np

    if kind == DATES:
        return np.arange(latest - n + 1, latest + 1)
    return np.arange(n) if kind == POSITIONS else np.zeros(n, dtype=np.int64)
