"""A kept model as MLflow's pyfunc: what `mlflow models serve` answers with.

MLflow finds this module by name (`tracking.kept_models`) and unpickles nothing.
"""

from __future__ import annotations

from typing import Any, Optional

import pandas as pd

from movierec_bench.errors import BenchError, ConfigError
from movierec_bench.kept.recommending import KeptModel, Recommendations, load_folder
from movierec_bench.schema import ITEM, SCORE, TITLE, USER, K

# Columns of a request: a row is a user, or a person with a history; and how many movies, under what filter.
ITEMS, COUNT, FILTER = "items", "k", "filter"
_COLUMNS = (USER, ITEMS, COUNT, FILTER)


class ServedModel:
    """Answers requests.

    Args:
        model: the model.
    """

    def __init__(self, model: KeptModel) -> None:
        self._model = model

    def predict(self, model_input: pd.DataFrame, params: Optional[dict[str, Any]] = None) -> list[dict[str, Any]]:
        """A dictionary of ``items``, ``titles`` and ``scores``, the best movie first, for each row asked.

        Args:
            model_input: a row is a ``user`` of the data, or ``items``: a list of ids of movies somebody watched, in
                this order. ``k`` and ``filter`` may stand beside it.
            params: MLflow's; not used.

        Raises:
            MlflowException: what was asked cannot be answered; MLflow's server replies with code 400 and the reason.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        try:
            rows = pd.DataFrame(model_input)
            odd = [name for name in rows.columns if name not in _COLUMNS]
            if odd:
                raise ConfigError(f"the request has a column {odd[0]!r}; expected some of {', '.join(_COLUMNS)}")
            return [_as_lists(self._answer(row)) for row in rows.to_dict("records")]
        except BenchError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error

    def _answer(self, row: dict[Any, Any]) -> Recommendations:
        given = {name: value for name, value in row.items() if not (pd.api.types.is_scalar(value) and pd.isna(value))}
        user = given.get(USER)
        if isinstance(user, float) and user.is_integer():  # beside rows without a user, pandas makes numbers floats
            user = int(user)
        return self._model.recommend(
            None if user is None else [user], given.get(ITEMS), int(given.get(COUNT, K)), given.get(FILTER)
        )


def _as_lists(ranked: Recommendations) -> dict[str, Any]:
    columns = {ITEMS: ITEM, "titles": TITLE, "scores": SCORE}
    return {name: ranked.table[column].tolist() for name, column in columns.items()}


def _load_pyfunc(data_path: str) -> ServedModel:
    """What MLflow calls with the folder of a kept model."""
    return ServedModel(load_folder(data_path))
