"""What a model has learned as arrays and JSON in one file, and back. Nothing that is read here is ever executed."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse

from movierec_bench.errors import DataError, ModelError
from movierec_bench.runs.files import replacing

_TREE = "tree"  # name of the array that holds the JSON; the others are numbered
_NUMBERS = "biufc"  # kinds of arrays that NumPy stores without pickle and reads back as the same
_SPARSE = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


class Storable:
    """Marks a dataclass that may be part of a stored model; its fields are stored by name.

    A file names the class, and only classes marked so are ever made of what a file says. They are known once
    the module that defines them is imported, which the model's own module sees to.
    """

    _known: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        Storable._known[cls.__qualname__] = cls


def write_state(path: Path, value: Any, compress: bool = False) -> None:
    """Write a value made of what `encode` takes into one .npz file, whole or not at all.

    Args:
        path: the file.
        value: what it holds.
        compress: make it smaller, in more time; worth it for whole numbers.

    Raises:
        ModelError: a part of it is nothing that can be stored.
    """
    arrays: list[np.ndarray] = []
    tree = json.dumps(encode(value, arrays), ensure_ascii=False, allow_nan=False).encode("utf-8")
    named = {str(number): array for number, array in enumerate(arrays)}
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as file:
        save(file, **{_TREE: np.frombuffer(tree, dtype=np.uint8)}, **named)


def read_state(path: Path) -> Any:
    """The value that `write_state` wrote; tensors are in main memory.

    Raises:
        DataError: the file is missing or damaged, or holds anything else than numbers and JSON, such as Python
            objects, which are not read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name != _TREE]
            tree = json.loads(file[_TREE].tobytes().decode("utf-8"))
            arrays = [file[str(number)] for number in range(len(names))]
            if any(array.dtype.kind not in _NUMBERS for array in arrays):
                raise ValueError("an array of something else than numbers")
        return decode(tree, arrays)
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there; expected the state of a model; have the model redone") from error
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        StopIteration,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"{path}: {error}; expected numbers and JSON as this library writes them; have the model redone"
        ) from error


def encode(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON in which each array is a number, its place among ``arrays``, to which it is added.

    Args:
        value: None, numbers, texts, lists, tuples, dictionaries by text, NumPy arrays of numbers or texts, tensors,
            csr and csc matrices, and dataclasses marked `Storable`, one in another.
        arrays: arrays of numbers so far.

    Raises:
        ModelError: anything else.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, arrays)
    if isinstance(value, np.generic):
        return {"scalar": _place(np.asarray(value), arrays)}
    if isinstance(value, np.ndarray):
        return _encode_array(value, arrays)
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [encode(part, arrays) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
        return {"dict": [[key, encode(part, arrays)] for key, part in value.items()]}
    if sparse.issparse(value) and value.format in _SPARSE:
        parts = [encode(part, arrays) for part in (value.data, value.indices, value.indptr)]
        return {value.format: parts, "shape": list(value.shape)}
    if isinstance(value, Storable) and is_dataclass(value):
        content = {field.name: encode(getattr(value, field.name), arrays) for field in fields(value)}
        return {"record": type(value).__qualname__, "fields": content}
    raise ModelError(
        f"a {type(value).__module__}.{type(value).__qualname__} cannot be stored without running code when it is read; "
        "expected numbers, texts, arrays, tensors, csr matrices, lists or dictionaries of them, or a dataclass "
        "marked Storable"
    )


def decode(node: Any, arrays: list[np.ndarray]) -> Any:
    """What `encode` was given. Raises ValueError, KeyError, IndexError or TypeError for anything it did not write."""
    if not isinstance(node, dict):
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        raise ValueError(f"unexpected {node!r:.60}")
    kind = next(iter(node))
    content = node[kind]
    if kind == "float":
        return float(content)
    if kind == "scalar":
        return arrays[content][()]
    if kind == "array":
        return arrays[content]
    if kind == "texts":
        return np.array([str(text) for text in content], dtype=object)
    if kind == "tensor":
        return torch.from_numpy(arrays[content])
    if kind == "sparse_tensor":
        indices, values = (decode(part, arrays) for part in content)
        return torch.sparse_coo_tensor(indices, values, node["shape"]).coalesce()
    if kind in ("list", "tuple"):
        parts = [decode(part, arrays) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "dict":
        return {key: decode(part, arrays) for key, part in content}
    if kind in _SPARSE:
        return _SPARSE[kind](tuple(decode(part, arrays) for part in content), shape=tuple(node["shape"]))
    if kind == "record":
        return _known_record(content)(**{name: decode(part, arrays) for name, part in node["fields"].items()})
    raise ValueError(f"unexpected {kind!r}")


def _known_record(name: str) -> type:
    if name not in Storable._known:
        raise ValueError(f"a record {name!r} that no model of this library stores")
    return Storable._known[name]


def _place(array: np.ndarray, arrays: list[np.ndarray]) -> int:
    arrays.append(np.asarray(array))
    return len(arrays) - 1


def _encode_array(array: np.ndarray, arrays: list[np.ndarray]) -> dict[str, Any]:
    if array.dtype.kind in _NUMBERS:
        return {"array": _place(array, arrays)}
    if array.ndim == 1 and all(isinstance(text, str) for text in array):
        return {"texts": [str(text) for text in array]}
    raise ModelError(
        f"an array of {array.dtype} with shape {array.shape} cannot be stored; expected numbers, or texts in a row"
    )


def _encode_tensor(tensor: torch.Tensor, arrays: list[np.ndarray]) -> dict[str, Any]:
    tensor = tensor.detach().cpu()
    if tensor.layout == torch.strided:
        return {"tensor": _place(tensor.clone().numpy(), arrays)}
    parts = tensor.to_sparse_coo().coalesce()
    return {"sparse_tensor": [encode(parts.indices(), arrays), encode(parts.values(), arrays)], "shape": [*parts.shape]}
