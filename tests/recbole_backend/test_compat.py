"""Each fix does what RecBole needs, and is missing without `apply`."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import dok_matrix

from movierec_bench.errors import ModelError
from movierec_bench.recbole_backend import compat
from movierec_bench.settings.recbole_package import recbole_folder


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_the_mend_numpy_lacks_names_that_recbole_writes() -> None:
    for name in ("float", "object", "unicode"):
        assert run_python(f"import numpy; numpy.{name}").returncode != 0


def test_with_it_numpy_has_every_name_that_recbole_writes() -> None:
    """Whichever NumPy is installed: every ``np.name`` in RecBole's files, read where they are written."""
    compat.apply()
    written = {
        node.attr
        for path in recbole_folder().rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "np"
        and isinstance(node.ctx, ast.Load)
    }
    assert {"float", "float_", "long", "complex_", "unicode_"} <= written
    assert [name for name in sorted(written) if not hasattr(np, name)] == []


def test_without_the_mend_scipy_lacks_dok_update() -> None:
    assert run_python("from scipy.sparse import dok_matrix; dok_matrix._update").returncode != 0
    done = run_python(
        "from movierec_bench.recbole_backend import compat; compat.apply();"
        "from scipy.sparse import dok_matrix; dok_matrix._update"
    )
    assert done.returncode == 0, done.stderr


def test_dok_update_sets_entries() -> None:
    compat.apply()
    matrix = dok_matrix((2, 3), dtype=np.float32)
    matrix._update({(0, 1): 1.0, (1, 2): 2.0})
    assert matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 2]]


def test_recboles_dataset_fills_gaps_whichever_pandas_is_installed() -> None:
    """Columns of a frame, whose gaps pandas 3 leaves where they are when a chained call fills them."""
    compat.apply()
    from recbole.data.dataset import Dataset
    from recbole.utils import FeatureType

    dataset: Any = Dataset.__new__(Dataset)
    dataset.logger = logging.getLogger("test")
    dataset.feat_name_list, dataset.field2type = ["item_feat"], {"age": FeatureType.FLOAT, "kind": FeatureType.TOKEN}
    dataset.item_feat = pd.DataFrame({"age": [1.0, None, 3.0], "kind": [4.0, 5.0, None]})
    dataset._fill_nan()
    assert dataset.item_feat.to_dict("list") == {"age": [1.0, 2.0, 3.0], "kind": [4.0, 5.0, 0.0]}


def test_apply_twice_changes_nothing_more() -> None:
    compat.apply()
    before = (dok_matrix._update, np.float)
    compat.apply()
    assert (dok_matrix._update, np.float) == before


def test_torch_refuses_a_checkpoint_with_a_config_and_reads_ours(tmp_path: Path) -> None:
    """Why `save_checkpoint` exists: RecBole's own form no longer loads, ours does, with torch's defaults."""
    from recbole.config import Config

    model = torch.nn.Linear(2, 2)
    recbole_form = tmp_path / "recbole.pth"
    config = Config.__new__(Config)
    config.__dict__["final_config_dict"] = {"model": "BPR"}
    torch.save({"config": config, "state_dict": model.state_dict()}, recbole_form)
    with pytest.raises(Exception, match="[Ww]eights.only|Unsupported"):
        torch.load(recbole_form)

    ours = compat.save_checkpoint(model, tmp_path / "ours.pth")
    assert torch.equal(torch.load(ours)["state_dict"]["weight"], model.weight)  # as NAIS, RaCT and S3Rec read it
    assert torch.equal(compat.load_checkpoint(ours)["bias"], model.bias)


def test_quick_start_is_never_imported() -> None:
    done = run_python(
        "import sys, movierec_bench.training.trainer, movierec_bench.execution.run;"
        "assert not [name for name in sys.modules if name.startswith('recbole.quick_start')], 'imported'"
    )
    assert done.returncode == 0, done.stderr


def test_without_the_mend_there_is_no_torch_scatter() -> None:
    assert run_python("import torch_scatter").returncode != 0
    done = run_python(
        "from movierec_bench.recbole_backend import compat; compat.apply(); compat.apply();"
        "from torch_scatter import scatter_mean, scatter_softmax; assert scatter_mean is compat.scatter_mean"
    )
    assert done.returncode == 0, done.stderr


def test_scatter_mean_and_softmax_by_hand() -> None:
    rows = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 7.0]], requires_grad=True)
    group = torch.tensor([2, 2, 0])
    means = compat.scatter_mean(rows, group, dim=0, dim_size=4)
    assert means.tolist() == [[5.0, 7.0], [0.0, 0.0], [2.0, 1.0], [0.0, 0.0]]
    means[2].sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]
    weights = compat.scatter_softmax(rows, group, dim=0)
    torch.testing.assert_close(weights[:2], rows[:2].softmax(dim=0))
    torch.testing.assert_close(weights[2], torch.ones(2))


def test_scatter_softmax_of_large_numbers_is_finite_and_has_softmaxs_gradient() -> None:
    rows = torch.tensor([[1000.0], [999.0]], requires_grad=True)
    weights = compat.scatter_softmax(rows, torch.tensor([0, 0]), dim=0)
    expected = torch.tensor([[1000.0], [999.0]], requires_grad=True)
    torch.testing.assert_close(weights, expected.softmax(dim=0))
    weights[0].backward()
    expected.softmax(dim=0)[0].backward()
    torch.testing.assert_close(rows.grad, expected.grad)


def test_scatter_along_another_dimension_is_refused() -> None:
    with pytest.raises(ModelError, match="dimension 1; expected 0"):
        compat.scatter_mean(torch.zeros(2, 2), torch.tensor([0, 0]), dim=1)
