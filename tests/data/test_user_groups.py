"""Files of users: what they may look like, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from movierec_bench.data.user_groups import read_group, read_user_segments
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import DataError

NUMBERS = Vocabulary(np.array([1, 2, 30]), np.array([5]))
TEXTS = Vocabulary(np.array(["1", "a,b"], dtype=object), np.array([5]))


def file(folder: Path, text: str) -> str:
    (folder / "some users.csv").write_text(text, encoding="utf-8")
    return str(folder / "some users.csv")


@pytest.mark.parametrize(
    "text", ["30\n1\n", "user\n30\n1\n", "user,segment\n30,x\n1,x\n", "\ufeffage,user\n7,30\n8,1\n\n"]
)
def test_a_list_of_users(text: str, tmp_path: Path) -> None:
    group = read_group(file(tmp_path, text), NUMBERS)
    assert group.users.tolist() == [1, 30] and group.users.dtype == np.int64
    assert group.name == ("x" if "segment" in text else "some_users")


def test_one_of_its_segments(tmp_path: Path) -> None:
    path = file(tmp_path, "user,segment\n30,bad\n1,good\n2,bad\n")
    assert read_user_segments(Path(path))["segment"].tolist() == ["bad", "good", "bad"]
    bad, good = read_group(f"{path}:bad", NUMBERS), read_group(f"{path}:good", NUMBERS)
    assert (bad.name, bad.users.tolist(), good.users.tolist()) == ("bad", [2, 30], [1])
    assert bad.hash != good.hash
    with pytest.raises(DataError, match="has the segments bad, good; expected one to train on, such as .*:bad"):
        read_group(path, NUMBERS)
    with pytest.raises(DataError, match="has no segment 'best'; expected one of bad, good"):
        read_group(f"{path}:best", NUMBERS)


def test_ids_that_are_texts(tmp_path: Path) -> None:
    assert read_group(file(tmp_path, 'user\n"a,b"\n1\n'), TEXTS).users.tolist() == ["1", "a,b"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no user"),
        ("user\n", "names no user"),
        ("1\n1\n", "names user 1 twice"),
        ("user,segment\n1\n", "a line with too few columns"),
        ("name\n1\n", "expected whole numbers"),
        ("4\n", "user 4 is not in the data set"),
    ],
)
def test_what_is_no_list_of_users_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read_group(file(tmp_path, text), NUMBERS)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nobody.csv cannot be read as a list of users"):
        read_group(str(tmp_path / "nobody.csv"), NUMBERS)
