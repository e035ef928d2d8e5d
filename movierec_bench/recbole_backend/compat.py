"""Mends that let RecBole 1.2.1 run on current packages. Each has its reason and a test that fails without it.

Call `apply()` before importing any RecBole module that needs a mend; it is idempotent and touches
only names that are missing, so it becomes a no-op on a RecBole that no longer needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import dok_matrix

# RecBole writes these names, which NumPy dropped in 1.24, at import or call time (interaction.py,
# metrics.py, layers.py, abstract_recommender.py). Its own Config sets them from `np.float_`, a name
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
}


def apply() -> None:
    """Install every mend that this environment needs."""
    _restore_numpy_aliases()
    _restore_dok_update()


def _restore_numpy_aliases() -> None:
    for name, value in _NUMPY_ALIASES.items():
        if name not in np.__dict__:
            setattr(np, name, value)


def _restore_dok_update() -> None:
    """SciPy 1.13 and later have no ``dok_matrix._update``; NGCF, LightGCN, NCL, GCMC, SpectralCF, KGIN and MCCLK
    fill their adjacency matrices with it."""
    if not hasattr(dok_matrix, "_update"):
        dok_matrix._update = _dok_update


def _dok_update(self: dok_matrix, data: Mapping[Any, Any]) -> None:
    """Set many entries at once, unchecked, as SciPy's private method did."""
    self._dict.update(data)


def stop_anomaly_detection() -> None:
    """Importing any sequence model of RecBole imports SINE, whose module turns autograd's anomaly detection on.

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
