"""The state of a model in a file: what goes in comes out, and nothing in a file is ever executed."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from movierec_bench.errors import DataError, ModelError
from movierec_bench.recbole_backend.stored_state import Storable, read_state, write_state


@dataclass(frozen=True)
class Weights(Storable):
    """A record as models keep them."""

    tiles: np.ndarray
    n: int


@dataclass(frozen=True)
class Unmarked:
    """A record that was not marked."""

    n: int


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    matrix = csr_matrix(np.array([[0, 2.5], [1, 0]], dtype=np.float32))
    value = {
        "none": None,
        "numbers": [1, 2.5, True, float("inf"), 2**100],
        "pair": ("a", np.float32(0.1)),
        "file": np.arange(6, dtype=np.int16).reshape(2, 3),
        "ids": np.array(["é", "b"], dtype=object),
        "tensor": torch.tensor([[1.5, -2.0]], dtype=torch.float64),
        "graph": torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)),
        "matrix": matrix,
        "record": Weights(np.ones(3), 7),
        3: {"nested": []},
    }
    write_state(tmp_path / "state.npz", value)
    found = read_state(tmp_path / "state.npz")
    assert list(found) == list(value)
    assert found["none"] is None and found["numbers"] == value["numbers"] and found[3] == {"nested": []}
    assert found["pair"] == value["pair"] and isinstance(found["pair"], tuple)
    assert isinstance(found["pair"][1], np.float32)
    np.testing.assert_array_equal(found["file"], value["file"])
    assert found["file"].dtype == np.int16
    assert found["ids"].tolist() == ["é", "b"] and found["ids"].dtype == object
    assert torch.equal(found["tensor"], value["tensor"])
    assert torch.equal(found["graph"].to_dense(), value["graph"].to_dense())
    assert (found["matrix"] != matrix).nnz == 0 and found["matrix"].dtype == np.float32
    assert isinstance(found["record"], Weights) and found["record"].n == 7


@pytest.mark.parametrize("value", [Unmarked(1), print, np.array([Unmarked(1)], dtype=object), {1.5: 2}, {"a": {1, 2}}])
def test_what_cannot_be_stored_is_refused_before_anything_is_written(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be stored"):
        write_state(tmp_path / "state.npz", {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_a_planted_pickle_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    planted = np.array([Payload(ran)], dtype=object)
    tree = np.frombuffer(json.dumps({"array": 0}).encode(), dtype=np.uint8)
    np.savez(tmp_path / "object.npz", tree=tree, **{"0": planted})
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Payload(ran)))
    np.save(tmp_path / "single.npy", planted, allow_pickle=True)
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    torch.save(Payload(ran), tmp_path / "torch.npz")
    for name in ("object.npz", "bare.npz", "single.npz", "torch.npz"):
        with pytest.raises(DataError, match=f"{name}: .*expected numbers and JSON"):
            read_state(tmp_path / name)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Payload(ran)))
    assert ran.exists(), "the payload would not have shown anything"


@pytest.mark.parametrize(
    "tree",
    [
        {"record": "os.system", "fields": {"command": "exit 1"}},
        {"record": "Payload", "fields": {}},
        {"call": "os.system"},
        {"array": 3},
        [1, 2],
        {},
    ],
)
def test_a_file_makes_nothing_but_what_models_store(tree: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "state.npz", tree=np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8))
    with pytest.raises(DataError, match="have the model redone"):
        read_state(tmp_path / "state.npz")


def test_a_file_cut_short_or_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(DataError, match="is not there"):
        read_state(path)
    write_state(path, {"weights": np.arange(1000.0)})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="expected numbers and JSON"):
        read_state(path)
