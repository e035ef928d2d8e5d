"""RecBole's side of a comparison: ``python -m benchmarks.recboles TASK WORKLOAD OPTIONS``; prints one JSON line.

RecBole 1.2.1 as it is, but for the mends without which it does not run on current packages. It is given
our split as its benchmark files, and an ``eval_batch_size`` that ranks hundreds of users a step: its own
default ranks one.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.stopwatch import Stopwatch
from benchmarks.workloads import Workload
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.ranking.top_k import top_k, topk_frame
from movierec_bench.recbole_backend import compat
from movierec_bench.schema import ITEM_FIELD, LABEL_FIELD, TIME_FIELD, USER_FIELD, K
from movierec_bench.settings.catalog import load_catalog

compat.apply()

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.data.interaction import Interaction  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

_USERS_A_STEP = 256


def load(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Read and split as RecBole does for every model: its own ratio split and its loaders."""
    config = _config(work, "BPR", {"benchmark_filename": None, "data_path": str(work.atomic.parent)})
    with watch.phase("load"):
        dataset = create_dataset(config)
        data_preparation(config, dataset)
    return {"rows": dataset.inter_num}


def model(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Load, train, rank and score the validation rows with RecBole's own trainer and evaluator.

    Options: model, parameters, epochs, rank_seconds (stop ranking then, and say how far it came).
    """
    trained = _train(_config(work, options["model"], _parameters(options)), options.get("epochs", 1), watch)
    if "rank_seconds" in options:
        return _rank_for(options["rank_seconds"], trained, watch)
    with watch.phase("rank"):
        scores = trained.trainer.evaluate(trained.valid_data, load_best_model=False)
    return {"recall_plain": float(scores["recall@10"]), "users": len(trained.valid_data.uid_list)}


def sequential(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """A sequential model trained by RecBole on our training rows; our validation rows score it, by our ranking."""
    changes = {"benchmark_filename": None, "data_path": str(work.recbole), "train_neg_sample_args": None}
    changes["eval_args"] = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
    settings = {**changes, **_parameters(options)}
    config = _config(work, options["model"], settings, dataset=f"{work.name}-sequential")
    trained = _train(config, options["epochs"], watch)
    data, split, train, valid = work.read()
    users = np.unique(valid.user_ix)
    known = trained.dataset.field2token_id[ITEM_FIELD]
    theirs = np.array([0, *(known.get(item, 0) for item in data.vocabulary.items.astype(str))])
    longest = config["MAX_ITEM_LIST_LENGTH"]
    trained.trainer.model.eval()

    def score_block(block: np.ndarray) -> torch.Tensor:
        histories = [theirs[train.item_ix[train.indptr[user] : train.indptr[user + 1]][-longest:]] for user in block]
        windows = torch.zeros((len(block), longest), dtype=torch.int64)
        for row, history in enumerate(histories):
            windows[row, : len(history)] = torch.from_numpy(history)
        lengths = torch.tensor([len(history) for history in histories])
        with torch.no_grad():
            columns = Interaction({"item_id_list": windows, "item_length": lengths})
            scores = trained.trainer.model.full_sort_predict(columns)
        scores[:, 0] = -torch.inf  # of a movie without a training row, which RecBole has never seen
        return scores[:, theirs]

    with watch.phase("rank"):
        best = top_k(score_block, users, train.csr, K)
    plain = per_user(topk_frame(best, data.vocabulary), split.valid)[f"recall_plain@{K}"].mean()
    return {"recall_plain": float(plain), "users": len(users)}


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    return {**options.get("parameters", {}), "seed": options["seed"]}


@dataclass(frozen=True)
class _Trained:
    dataset: Any
    valid_data: Any
    trainer: Any


def _train(config: Any, epochs: int, watch: Stopwatch) -> _Trained:
    init_seed(config["seed"], True)
    with watch.phase("load"):
        dataset = create_dataset(config)
        train_data, valid_data, _ = data_preparation(config, dataset)
    with watch.phase("fit"):
        made = get_model(config["model"])(config, train_data.dataset).to(config["device"])
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, made)
        for epoch in range(epochs):
            with watch.phase("epoch"):
                trainer._train_epoch(train_data, epoch)
    return _Trained(dataset, valid_data, trainer)


def _config(work: Workload, name: str, changes: dict[str, Any], dataset: str = "") -> Any:
    """RecBole's Config with our catalogue's hyperparameters of the model, then ``changes``."""
    scratch = tempfile.mkdtemp()
    settings = {
        **load_catalog()[name].parameters,
        "data_path": str(work.recbole.parent),
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {
            "inter": [USER_FIELD, ITEM_FIELD, TIME_FIELD],
            "item": [ITEM_FIELD, "genre", "director", "writer"],
        },
        "USER_ID_FIELD": USER_FIELD,
        "ITEM_ID_FIELD": ITEM_FIELD,
        "TIME_FIELD": TIME_FIELD,
        "LABEL_FIELD": LABEL_FIELD,
        "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user", "mode": "full"},
        "eval_batch_size": _USERS_A_STEP * 6_808,
        "metrics": ["Recall"],
        "topk": [K],
        "valid_metric": f"Recall@{K}",
        "show_progress": False,
        "state": "ERROR",
        "checkpoint_dir": scratch,
    }
    return Config(model=name, dataset=dataset or work.name, config_dict={**settings, **changes})


def _rank_for(limit: float, trained: _Trained, watch: Stopwatch) -> dict[str, Any]:
    """Rank for so many seconds; the users ranked by then."""
    trainer, valid_data = trained.trainer, trained.valid_data
    trainer.model.eval()
    trainer.tot_item_num = valid_data._dataset.item_num
    trainer.item_tensor = valid_data._dataset.get_item_feature().to(trainer.device)
    ranked, started = 0, time.perf_counter()
    with watch.phase("rank"), torch.no_grad():
        for batch in valid_data:
            trainer._full_sort_batch_eval(batch)
            ranked += len(batch[0])
            if time.perf_counter() - started >= limit:
                break
    return {"users": ranked, "of_users": len(valid_data.uid_list)}


TASKS = {task.__name__: task for task in (load, model, sequential)}

if __name__ == "__main__":
    arguments, sys.argv = sys.argv[1:], sys.argv[:1]  # RecBole reads the command line too
    stopwatch = Stopwatch()
    result = TASKS[arguments[0]](Workload(arguments[1]), json.loads(arguments[2]), stopwatch)
    stopwatch.report(**result)
