"""Fixes that let RecBole 1.2.1 run on current packages. Each has its reason and a test that fails without it.

Call `apply()` before importing any RecBole module that needs a fix; it is idempotent and touches
only names that are missing, so it becomes a no-op on a RecBole that no longer needs it.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import torch
from scipy.sparse import dok_matrix

from movierec_bench.errors import ModelError

# RecBole writes these names, which NumPy dropped in 1.24, at import or call time (interaction.py,
# metrics.py, layers.py, abstract_recommender.py). Its own Config sets them from the last three, which
# NumPy 2 dropped as well.
_NUMPY_ALIASES = {
    "bool": np.bool_,
    "int": np.int_,
    "float": np.float64,
    "complex": np.complex128,
    "object": np.object_,
    "str": np.str_,
    "long": np.int_,
    "unicode": np.str_,
    "float_": np.float64,
    "complex_": np.complex128,
    "unicode_": np.str_,
}


def apply() -> None:
    """Install every fix that this environment needs."""
    _restore_numpy_aliases()
    _restore_dok_update()
    _stand_in_for_torch_scatter()
    _reword_for_pandas_3()


def _restore_numpy_aliases() -> None:
    for name, value in _NUMPY_ALIASES.items():
        if name not in np.__dict__:
            setattr(np, name, value)


def _restore_dok_update() -> None:
    """Give SciPy's ``dok_matrix`` back its ``_update``, which 1.13 dropped.

    NGCF, LightGCN, NCL, GCMC, SpectralCF, KGIN and MCCLK fill their adjacency matrices with it.
    """
    if not hasattr(dok_matrix, "_update"):
        dok_matrix._update = _dok_update


def _dok_update(self: dok_matrix, data: Mapping[Any, Any]) -> None:
    """Set many entries at once, unchecked, as SciPy's private method did."""
    self._dict.update(data)


def _stand_in_for_torch_scatter() -> None:
    """Stand in for torch_scatter, of which KGIN and MCCLK import two functions and which pip would have to compile."""
    if "torch_scatter" not in sys.modules and importlib.util.find_spec("torch_scatter") is None:
        module = types.ModuleType("torch_scatter")
        module.__dict__.update(scatter_mean=scatter_mean, scatter_softmax=scatter_softmax)
        sys.modules["torch_scatter"] = module


# What RecBole's Dataset writes, and what says the same in every pandas. From pandas 3 on, a chained call fills a copy,
# and `agg(len)` is the length of the column instead of that of each of its lists.
_FOR_PANDAS_3 = (
    (re.compile(r"(\w+\[field\])\.fillna\((.*), inplace=True\)"), r"\1 = \1.fillna(\2)"),
    (re.compile(r"\.agg\(len\)"), ".map(len)"),
)


def _reword_for_pandas_3() -> None:
    """Let RecBole's own Dataset read atomic files. Ours are made from arrays; a user's may be RecBole's."""
    if int(pd.__version__.split(".")[0]) < 3:
        return
    from recbole.data.dataset import Dataset, KnowledgeBasedDataset, SequentialDataset

    for kind in (Dataset, KnowledgeBasedDataset, SequentialDataset):
        module = sys.modules[kind.__module__]
        for name, method in list(vars(kind).items()):
            if not isinstance(method, types.FunctionType) or method.__code__.co_filename != module.__file__:
                continue  # no method, or reworded before
            written = inspect.getsource(method)
            reworded = written
            for found, instead in _FOR_PANDAS_3:
                reworded = found.sub(instead, reworded)
            if reworded != written:
                exec(textwrap.dedent(reworded), module.__dict__)  # into the module, whose names the method uses
                setattr(kind, name, module.__dict__.pop(name))


def scatter_mean(src: torch.Tensor, index: torch.Tensor, dim: int = 0, dim_size: Optional[int] = None) -> torch.Tensor:
    """Means of the rows of ``src`` in each group, as ``torch_scatter.scatter_mean`` gives them along dimension 0.

    Args:
        src: float [n, D].
        index: int64 [n], the group of each row.
        dim: must be 0, the only dimension RecBole asks for.
        dim_size: number of groups; the largest index plus 1 when None.

    Returns:
        Float [dim_size, D]; a group without rows is 0.
    """
    groups = _group_count(index, dim, dim_size)
    sums = src.new_zeros(groups, src.shape[1]).index_add(0, index, src)
    return sums / torch.bincount(index, minlength=groups).clamp(min=1).unsqueeze(1)


def scatter_softmax(src: torch.Tensor, index: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Softmax over the rows of ``src`` in each group, a column at a time; ``torch_scatter.scatter_softmax``.

    Args:
        src: float [n, D].
        index: int64 [n], the group of each row.
        dim: must be 0.

    Returns:
        Float [n, D].
    """
    groups = _group_count(index, dim, None)
    highest = src.new_full((groups, src.shape[1]), -torch.inf).index_reduce(0, index, src.detach(), "amax")
    weights = (src - highest[index]).exp()
    return weights / src.new_zeros(groups, src.shape[1]).index_add(0, index, weights)[index]


def _group_count(index: torch.Tensor, dim: int, dim_size: Optional[int]) -> int:
    if dim != 0:
        raise ModelError(f"scatter along dimension {dim}; expected 0 (install torch_scatter for the others)")
    return int(index.max()) + 1 if dim_size is None else dim_size


def stop_anomaly_detection() -> None:
    """Turn off autograd's anomaly detection, which SINE's module turns on; any sequence model of RecBole imports it.

    It records a stack trace at every operation, in every model trained afterwards. Call after importing a model.
    """
    torch.autograd.set_detect_anomaly(False)


def save_checkpoint(model: torch.nn.Module, path: Path) -> Path:
    """Write a model's weights in the form RecBole's second-stage models read: ``{"state_dict": ...}``.

    RecBole's own checkpoints hold its Config object, which ``torch.load`` refuses since torch 2.6
    (``weights_only=True`` by default). Ours hold tensors only, so RecBole's ``torch.load(path)``
    works unchanged and nothing is ever unpickled.

    Args:
        model: any module; its ``state_dict`` must hold tensors only.
        path: file to write; its folder must exist.

    Returns:
        ``path``.
    """
    torch.save({"state_dict": {k: v.detach().cpu() for k, v in model.state_dict().items()}}, path)
    return path


def load_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a file `save_checkpoint` wrote; nothing but tensors is unpickled."""
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return state
