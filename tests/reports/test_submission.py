"""Submissions: any ranking becomes a valid one, every fault is named with its line, scores are exact."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.submission_lines import replace_line, valid_lines, write_lines

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.data.convert import convert
from movierec_bench.data.source_data import SourceData
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.submission import make_submission, submit, validate_submission
from movierec_bench.reports.submission_files import score_submission as score
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import RunManifest, Status
from movierec_bench.schema import INTERACTION_COLUMNS, ITEM, RANK, SCORE, USER

ITEMS = np.arange(100, 130)  # movies 100 to 129, of which 125 to 129 nobody has seen
USERS = np.array([7, 11, 40])
SEEN = {7: range(100, 105), 11: range(103, 125), 40: [100, 103, 124]}
VOCABULARY = Vocabulary(USERS, ITEMS)


def _interactions(seen: dict[int, list[int]]) -> pd.DataFrame:
    rows = [(user, item, 10**9 + item) for user, items in seen.items() for item in items]
    return pd.DataFrame(rows, columns=list(INTERACTION_COLUMNS), dtype=np.int64)


def _topk(ranked: dict[int, list[int]]) -> pd.DataFrame:
    rows = [(u, i, rank, 1.0 / rank) for u, items in ranked.items() for rank, i in enumerate(items, start=1)]
    return pd.DataFrame(rows, columns=[USER, ITEM, RANK, SCORE])


INTERACTIONS = _interactions(SEEN)
# counts: 3 for 103; 2 for 100, 104, 124; 1 for 101, 102, 105 to 123; 0 for 125 to 129
POPULAR = [103, 100, 104, 124, 101, 102, *range(105, 124), *range(125, 130)]


def test_full_rankings_become_their_first_rows_in_order() -> None:
    ranked = {40: [129, 128, 127, 126, 125, 123], 7: [110, 112, 111, 113, 114], 11: [100, 129, 101, 128, 102]}
    made = make_submission(_topk(ranked), INTERACTIONS, VOCABULARY, k=5)
    assert made.filled_users == 0
    assert made.rows[USER].tolist() == [7] * 5 + [11] * 5 + [40] * 5
    assert made.rows[ITEM].tolist() == ranked[7] + ranked[11] + ranked[40][:5]
    assert made.rows.dtypes.tolist() == [np.int64, np.int64]


def test_short_and_missing_users_get_the_most_popular_unseen_movies() -> None:
    made = make_submission(_topk({7: [124, 129], 40: list(range(105, 115))}), INTERACTIONS, VOCABULARY, k=8)
    rows = made.rows.groupby(USER)[ITEM].apply(list).to_dict()
    assert made.filled_users == 2
    assert rows == {
        7: [124, 129, 105, 106, 107, 108, 109, 110],
        11: [100, 101, 102, 125, 126, 127, 128, 129],
        40: list(range(105, 113)),
    }


def test_an_empty_ranking_is_the_popular_movies() -> None:
    made = make_submission(_topk({}), INTERACTIONS, VOCABULARY, k=8)
    expected = {user: [item for item in POPULAR if item not in SEEN[user]][:8] for user in SEEN}
    assert made.filled_users == 3
    assert made.rows.groupby(USER)[ITEM].apply(list).to_dict() == expected


def test_making_a_submission_leaves_its_inputs_alone() -> None:
    topk = _topk({7: [124, 129]})
    before = topk.copy()
    interactions = INTERACTIONS.copy()
    make_submission(topk, interactions, VOCABULARY, k=8)
    pd.testing.assert_frame_equal(topk, before)
    pd.testing.assert_frame_equal(interactions, INTERACTIONS)


@pytest.mark.parametrize(
    ("ranked", "message"),
    [
        ({7: [110, 100]}, "user 7 has already seen movie 100"),
        ({7: [110, 110]}, "movie 110 is given to user 7 again"),
        ({7: [110, 5]}, "item 5 is not in the data set"),
        ({8: [110, 111]}, "user 8 is not in the data set"),
    ],
)
def test_a_ranking_that_recommends_what_it_must_not_is_refused(ranked: dict[int, list[int]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_submission(_topk(ranked), INTERACTIONS, VOCABULARY, k=8)


def test_a_user_who_has_seen_nearly_everything_cannot_be_served() -> None:
    with pytest.raises(DataError, match="user 11: has only 8 unseen movies; expected at least 9 among the 30 movies"):
        make_submission(_topk({11: [129, 100]}), INTERACTIONS, VOCABULARY, k=9)


@st.composite
def rankings(draw: st.DrawFn) -> dict[int, list[int]]:
    """For some users, some of their unseen movies in any order."""
    ranked = {}
    for user in draw(st.lists(st.sampled_from(USERS.tolist()), unique=True)):
        unseen = sorted(set(ITEMS.tolist()) - set(SEEN[user]))
        ranked[user] = draw(st.lists(st.sampled_from(unseen), unique=True))
    return ranked


@settings(deadline=None)
@given(ranked=rankings(), k=st.integers(1, 8), shuffle=st.randoms(use_true_random=False))
def test_any_ranking_becomes_a_valid_submission_that_begins_with_it(ranked, k, shuffle) -> None:  # type: ignore[no-untyped-def]
    topk = _topk(ranked)
    order = list(range(len(topk)))
    shuffle.shuffle(order)
    made = make_submission(topk.iloc[order], INTERACTIONS, VOCABULARY, k=k)
    given_to = made.rows.groupby(USER)[ITEM].apply(list).to_dict()
    assert made.rows[USER].tolist() == [user for user in USERS for _ in range(k)]
    for user in USERS.tolist():
        wanted = ranked.get(user, [])
        assert given_to[user][: len(wanted)] == wanted[:k]
        assert len(set(given_to[user])) == k and not set(given_to[user]) & set(SEEN[user])
        assert set(given_to[user]) <= set(ITEMS.tolist())
    assert made.filled_users == sum(len(ranked.get(user, [])) < k for user in USERS.tolist())


# A data set and a valid submission for it, on disk.


@pytest.fixture
def data(tmp_path: Path) -> AtomicData:
    movies = pd.DataFrame({"item": ITEMS, "title": [f"Movie {item}" for item in ITEMS], "year": np.nan})
    movies = movies.assign(genre=[()] * len(ITEMS), director=[()] * len(ITEMS), writer=[()] * len(ITEMS))
    seen = {7: range(100, 105), 11: range(103, 120), 40: [100, 103, 124]}
    competition = SourceData(_interactions(seen), movies, counts={}, source="test")
    return read_atomic(write_atomic(competition, tmp_path / "atomic_data", "tiny"))


def _insert(line: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[: line - 1], text, *lines[line - 1 :]]


def _drop(first: int, last: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[: first - 1], *lines[last:]]


FAULTS = {
    "columns swapped": (
        replace_line(1, "item,user"),
        "line 1: the columns are 'item,user'; expected 'user,item'",
    ),
    "an index column": (
        lambda lines: [f"{n},{line}" for n, line in enumerate(lines)],
        "line 1: the columns are '0,user,item'",
    ),
    "no header": (_drop(1, 1), "line 1"),
    "a semicolon": (lambda lines: [line.replace(",", ";") for line in lines], "line 1.*semicolon"),
    "a tab": (lambda lines: [line.replace(",", "\t") for line in lines], "line 1.*tab"),
    "a wrong heading": (replace_line(1, "user,movie"), "line 1.*item"),
    "no rows": (lambda lines: lines[:1], "no rows"),
    "an empty file": (lambda lines: [], "is empty"),
    "a word for a movie": (replace_line(5, "7,Heat"), "line 5: item 'Heat'"),
    "a float for a movie": (replace_line(5, "7,113.0"), "line 5: item '113.0'"),
    "no movie": (replace_line(5, "7,"), "line 5: item is missing"),
    "a third field": (replace_line(5, "7,113,1"), "line 5"),
    "one field": (replace_line(5, "7"), "line 5"),
    "a movie twice": (replace_line(5, "7,110"), "line 5: movie 110 is given to user 7 again; expected different"),
    "eleven movies": (_insert(12, "7,120"), "line 2: user 7 has 11 rows; expected exactly 10"),
    "nine movies": (_drop(13, 13), "line 12: user 11 has 9 rows; expected exactly 10; complete"),
    "two short users": (lambda lines: _drop(20, 23)(lines), r"line 12: user 11 has 8 rows \(the first of 2"),
    "users out of order": (
        lambda lines: [lines[0], *lines[11:], *lines[1:11]],
        "line 22: user 7 comes after user 40; expected users in ascending order; sort",
    ),
}
FAULTS_AGAINST_DATA = {
    "a missing user": (
        _drop(12, 21),
        "user 11 has none; expected 10 rows for every user of the ratings file",
    ),
    "an unknown movie": (
        replace_line(5, "7,99"),
        "line 5: movie 99 is not in the data set; expected one of its 30",
    ),
    "an unknown user": (
        lambda lines: lines + [f"41,{item}" for item in range(100, 110)],
        r"line 32: user 41 is not in the data set \(the first of 10 such rows\); expected one of its 3 users",
    ),
    "a seen movie": (replace_line(5, "7,104"), "line 5: user 7 has already seen movie 104; expected a movie"),
}


def _refused(path: Path, dataset: Optional[str] = None, atomic: Optional[Path] = None) -> str:
    with pytest.raises(DataError) as caught:
        score(path, dataset=dataset, atomic=str(atomic or "atomic_data"))
    return str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_line(tmp_path: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    told = _refused(write_lines(tmp_path / "sub.csv", damage(valid_lines())))
    assert re.search(message, told), told
    assert "sub.csv" in told and "expected" in told


@pytest.mark.parametrize("fault", FAULTS_AGAINST_DATA)
def test_a_fault_that_needs_the_data_set_is_named_with_its_line(tmp_path: Path, data: AtomicData, fault: str) -> None:
    damage, message = FAULTS_AGAINST_DATA[fault]
    path = write_lines(tmp_path / "sub.csv", damage(valid_lines()))
    told = _refused(path, "tiny", data.folder.parent)
    assert re.search(message, told), told
    assert score(path).recall is None  # its form alone is right


def test_every_kind_of_problem_is_told_at_once(tmp_path: Path, data: AtomicData) -> None:
    lines = replace_line(5, "7,104")(valid_lines())
    lines = replace_line(3, "7,110")(replace_line(24, "40,99")(lines))
    told = _refused(write_lines(tmp_path / "sub.csv", lines), "tiny", data.folder.parent).splitlines()
    assert [re.search(r"line \d+", line).group() for line in told] == ["line 3", "line 24", "line 5"]  # type: ignore[union-attr]


def test_empty_lines_do_not_shift_the_line_in_a_message(tmp_path: Path) -> None:
    lines = _insert(3, "")(replace_line(5, "7,110")(valid_lines()))
    assert "line 6: movie 110" in _refused(write_lines(tmp_path / "sub.csv", lines))


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_valid_file_passes_whatever_wrote_it(tmp_path: Path, data: AtomicData, prefix: bytes, end: str) -> None:
    path = write_lines(tmp_path / "sub.csv", valid_lines(), end)
    path.write_bytes(prefix + path.read_bytes())
    result = score(path, dataset="tiny", atomic=str(data.folder.parent))
    assert (result.users, result.rows, result.unchecked, result.recall) == (3, 30, (), None)
    assert "10 different movies for each of 3 users" in result.describe()


def test_what_could_not_be_checked_is_said(tmp_path: Path) -> None:
    result = score(write_lines(tmp_path / "sub.csv", valid_lines()))
    assert result.unchecked == ("known users and movies", "a row for every user", "seen movies")
    assert "not checked without --dataset: known users and movies" in result.describe()


def test_a_submission_in_memory_is_checked_by_the_same_rules() -> None:
    rows = pd.DataFrame({USER: [7, 7, 11], ITEM: [110, 110, 125]})
    with pytest.raises(DataError, match="submission line 3: movie 110 is given to user 7 again"):
        validate_submission(rows, INTERACTIONS, VOCABULARY, k=1)


# submit: a run folder on disk, as a run leaves it.


@pytest.fixture
def run(tmp_path: Path, data: AtomicData) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "tiny")
    run.write_manifest(
        RunManifest(
            dataset="tiny",
            atomic=str(data.folder.parent),
            data_hash=data.data_hash,
            protocol="competition",
            protocol_hash="0" * 16,
            seed=1,
            versions={},
            command="run",
        )
    )
    full = {7: list(range(129, 104, -1)), 11: list(range(129, 119, -1)), 40: [101, 102, 104]}
    for folder in (run.model("EASE"), run.ensemble("vote")):
        folder.write_topk("full", _topk(full))
        folder.write_status(Status(folder.name, "done", "general", "ours"))
    run.model("BPR").write_topk("test", _topk(full))
    return run


@pytest.mark.parametrize("name", ["EASE", "vote"])
def test_submit_writes_what_was_ranked_and_passes_the_validator(run: RunFolder, data: AtomicData, name: str) -> None:
    path = submit(str(run.path), name)
    assert path == run.submission(name)
    lines = path.read_bytes().decode().split("\n")
    assert lines[:3] == ["user,item", "7,129", "7,128"] and len(lines) == 32
    # 103 is the most popular but seen; then 104 and below by count and id
    assert lines[21:31] == [f"40,{item}" for item in (101, 102, 104, *range(105, 112))]
    assert score(path, dataset="tiny", atomic=str(data.folder.parent)).users == 3


def test_submit_says_how_many_users_were_filled(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    submit(run.path, "EASE")
    assert "popular movies added for 1 users" in caplog.text


def test_submit_needs_a_refit_and_a_known_model(run: RunFolder) -> None:
    with pytest.raises(DataError, match=r"topk_full\.parquet.*BPR was not refitted.*without --no-refit"):
        submit(run.path, "BPR")
    with pytest.raises(ConfigError, match="'EASY'; did you mean EASE"):
        submit(run.path, "EASY")
    with pytest.raises(DataError, match="give a run's folder"):
        submit(run.path.parent, "EASE")
    assert not run.submission("BPR").exists()


def test_submit_refuses_other_data_than_the_runs(run: RunFolder, tmp_path: Path) -> None:
    run.write_manifest(replace(run.read_manifest(), data_hash="other"))
    with pytest.raises(DataError, match=r"expected data other.*--atomic"):
        submit(run.path, "EASE")
    run.write_manifest(replace(run.read_manifest(), atomic=str(tmp_path / "gone")))
    with pytest.raises(DataError, match="gone"):
        submit(run.path, "EASE")


def test_ml_100k_is_filled_and_validated_whole(tmp_path: Path) -> None:
    data = read_atomic(convert(out=tmp_path))
    made = make_submission(_topk({}), data.interactions, data.vocabulary)
    assert made.filled_users == 943 and len(made.rows) == 9430
    counts = data.interactions[ITEM].value_counts()
    first = made.rows.groupby(USER)[ITEM].first()
    for user, seen in data.interactions.groupby(USER)[ITEM]:
        unseen = counts[~counts.index.isin(seen)]
        assert first[user] == unseen[unseen == unseen.max()].index.min()
