"""Sequence models of ours: their losses, masks, inferences and scorers by hand, and equality with RecBole's layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.source_data import SourceData
from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.models.bert4rec import top_votes
from movierec_bench.models.parts import window_model
from movierec_bench.models.parts.window_model import softmax_loss
from movierec_bench.models.s3rec import attribute_table, draw_segments
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset
from movierec_bench.training.schemes.stages import S3RecScheme
from movierec_bench.training.trainer import FitSettings, Fitted, fit

CATALOG = load_catalog()
LENGTH = 12  # rows of a window in these tests; the planted logs have 10 to 17


def build(data: AtomicData, model: str, scratch: Path, **changes: Any) -> Any:
    """An untrained model with weights from one seed, in evaluation mode."""
    entry = CATALOG[model].with_parameters({"MAX_ITEM_LIST_LENGTH": LENGTH, **changes})
    config = build_config(entry, seed=1, scratch=scratch)
    dataset = build_dataset(config, data, Interactions.from_rows(data.interactions, data.vocabulary))
    torch.manual_seed(0)
    made = load_model_class(entry)(config, dataset).eval()
    for weight in made.parameters():  # far from the tiny initial weights, which hide differences
        torch.nn.init.normal_(weight, std=0.3)
    return made


def batch(*histories: list[int]) -> dict[str, torch.Tensor]:
    """Histories as RecBole's columns for users 1, 2, ..., padded on the right to LENGTH."""
    padded = torch.tensor([items + [0] * (LENGTH - len(items)) for items in histories])
    lengths = torch.tensor([max(1, len(items)) for items in histories])
    return {"user_id": torch.arange(1, len(histories) + 1), "item_id_list": padded, "item_length": lengths}


# The loss over all movies.


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("logits_at_once", [500_000, 14])  # one block, and two rows a block
def test_the_loss_and_its_gradients_equal_torchs(with_bias: bool, logits_at_once: int, monkeypatch) -> None:  # noqa: ANN001
    monkeypatch.setitem(window_model._LOGITS_A_BLOCK, "cpu", logits_at_once)
    rng = torch.Generator().manual_seed(3)
    hidden, vectors = torch.randn(5, 4, generator=rng), torch.randn(8, 4, generator=rng)
    bias, targets = torch.randn(8, generator=rng), torch.tensor([1, 7, 3, 3, 2])
    ours = [tensor.clone().requires_grad_() for tensor in (hidden, vectors, bias)]
    theirs = [tensor.clone().requires_grad_() for tensor in (hidden, vectors, bias)]
    loss = softmax_loss(ours[0], ours[1], ours[2] if with_bias else None, targets)
    logits = theirs[0] @ theirs[1][1:].T + (theirs[2][1:] if with_bias else 0)
    expected = cross_entropy(logits, targets - 1)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for mine, other in zip(ours[: 2 + with_bias], theirs):
        torch.testing.assert_close(mine.grad, other.grad)


def test_a_loss_over_nothing_is_zero() -> None:
    hidden = torch.zeros(0, 4, requires_grad=True)
    loss = softmax_loss(hidden, torch.ones(3, 4), None, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0


# Equality with RecBole's own classes, and causality.


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "S3Rec"])
def test_ranking_equals_recboles_with_the_same_weights(model: str, planted: AtomicData, tmp_path: Path) -> None:
    ours, theirs = build(planted, model, tmp_path), build(planted, f"RecBole{model}", tmp_path)
    weights = {name: value for name, value in ours.state_dict().items() if not name.startswith("feature_embedding")}
    assert set(theirs.state_dict()) - {"feature_embedding.weight"} == set(weights)
    theirs.load_state_dict(weights, strict=False)
    histories = batch([5, 9, 2], [7], list(range(1, LENGTH + 1)))
    torch.testing.assert_close(ours.full_sort_predict(histories), theirs.full_sort_predict(histories))


def test_bert4rec_ranks_from_a_full_window_as_recbole_does(planted: AtomicData, tmp_path: Path) -> None:
    ours, theirs = build(planted, "BERT4Rec", tmp_path), build(planted, "RecBoleBERT4Rec", tmp_path)
    theirs.load_state_dict(ours.state_dict())
    full = batch(list(range(1, LENGTH + 1)), list(range(20, 20 + LENGTH)))
    torch.testing.assert_close(ours.full_sort_predict(full), theirs.full_sort_predict(full))


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "S3Rec"])
def test_a_later_movie_never_changes_an_earlier_position(model: str, planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, model, tmp_path)
    before = torch.tensor([[3, 8, 21, 5, 30, 2]])
    for changed in range(6):
        after = before.clone()
        after[0, changed] = 17
        same = torch.isclose(made.hidden_states(before), made.hidden_states(after), atol=1e-6).all(dim=2)[0]
        assert same.tolist() == [position < changed for position in range(6)]


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "BERT4Rec", "S3Rec"])
def test_padding_counts_for_nothing_and_the_last_row_for_something(
    model: str, planted: AtomicData, tmp_path: Path
) -> None:
    made = build(planted, model, tmp_path)
    alone = made.full_sort_predict(batch([3, 8, 21]))
    beside_a_longer_one = made.full_sort_predict(batch([3, 8, 21], list(range(1, LENGTH + 1))))
    torch.testing.assert_close(alone[0], beside_a_longer_one[0])
    assert not torch.allclose(alone, made.full_sort_predict(batch([3, 8, 22])), atol=1e-3)


def test_the_training_loss_is_the_mean_over_positions(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "SASRec", tmp_path)
    columns = {**batch([3, 8, 21], [5, 6]), "item_id": torch.tensor([4, 0])}
    losses = []
    for history, target in (([3], 8), ([3, 8], 21), ([3, 8, 21], 4), ([5], 6)):
        logits = made.full_sort_predict(batch(history))[:, 1:]
        losses.append(cross_entropy(logits, torch.tensor([target - 1])))
    torch.testing.assert_close(made.calculate_loss(columns), torch.stack(losses).mean())


# BERT4Rec.


def test_the_mask_token_by_hand(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "BERT4Rec", tmp_path)
    mask = made.mask_token
    assert mask == made.n_items
    items, length = made.with_mask_token(batch([4, 5], [], list(range(1, LENGTH + 1)))["item_id_list"])
    assert length.tolist() == [3, 1, LENGTH]
    assert items[0].tolist() == [4, 5, mask] + [0] * (LENGTH - 3)
    assert items[1].tolist() == [mask] + [0] * (LENGTH - 1)
    assert items[2].tolist() == [*range(2, LENGTH + 1), mask]  # the oldest row makes room
    items, length = made.with_mask_token(torch.tensor([[4, 5, 0]]))
    assert items.tolist() == [[4, 5, mask]]


def test_hidden_rows(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "BERT4Rec", tmp_path, mask_ratio=0.3, ft_ratio=0.5)
    length = torch.full((4000,), 9)
    items = torch.where(torch.arange(LENGTH) < 9, 5, 0).expand(4000, LENGTH)
    made.last_share = 1.0
    assert made.draw_hidden(items, length).nonzero().tolist() == [[row, 8] for row in range(4000)]
    made.last_share = 0.0
    drawn = made.draw_hidden(items, length)
    assert not drawn[:, 9:].any()
    assert abs(drawn[:, :9].float().mean() - 0.3) < 0.01


def test_the_loss_looks_at_hidden_rows_alone(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "BERT4Rec", tmp_path)
    made.last_share = 1.0  # the last row is hidden: the loss is that of predicting it after the rest
    loss = made.calculate_loss(batch([3, 8, 21]))
    logits = made.full_sort_predict(batch([3, 8]))[:, 1:]
    torch.testing.assert_close(loss, cross_entropy(logits, torch.tensor([20])))


def test_inference_sum_adds_the_scores_of_all_positions(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "BERT4Rec", tmp_path, inference="sum")
    items, length = made.with_mask_token(batch([3, 8, 21], [5])["item_id_list"])
    scores = made.scores(made.hidden_states(items))
    expected = torch.stack([scores[0, :4].sum(dim=0), scores[1, :2].sum(dim=0)])
    torch.testing.assert_close(made.full_sort_predict(batch([3, 8, 21], [5])), expected, rtol=1e-4, atol=1e-3)


def test_inference_votes_at_every_fifth_position_from_the_mask_back(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "BERT4Rec", tmp_path, inference="top_10_per_five")
    rows = Interactions.from_rows(planted.interactions, planted.vocabulary)
    made.set_history(rows)
    columns = batch([3, 8, 21, 5, 30, 2, 7], [5, 6])
    items, length = made.with_mask_token(columns["item_id_list"])
    assert length.tolist() == [8, 3]
    scores = made.scores(made.hidden_states(items)).detach()
    votes = np.zeros((2, made.n_items))
    for row, positions in ((0, (7, 2)), (1, (2,))):
        unseen = np.setdiff1d(np.arange(1, made.n_items), rows.csr[row + 1].indices)
        for position in positions:
            best = unseen[np.argsort(-scores[row, position, unseen].numpy())[:10]]
            votes[row, best] += 1
    np.testing.assert_array_equal(np.floor(made.full_sort_predict(columns).detach().numpy()), votes)


def test_votes_by_hand() -> None:
    scores = torch.zeros(1, 3, 14)
    scores[0, 0, 1:] = torch.arange(13, 0, -1)  # movies 1 to 10 are the best ten, 2 to 11 of the unseen
    scores[0, 1, 1:] = torch.arange(1, 14)  # movies 4 to 13
    scores[0, 2, 1] = 100.0  # a position that does not exist
    seen = torch.zeros(1, 14, dtype=torch.bool)
    seen[0, [0, 1]] = True
    result = top_votes(scores, torch.tensor([[True, True, False]]), seen)
    assert torch.floor(result)[0].tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]
    assert (result < torch.floor(result) + 1).all()


def test_equal_votes_are_ordered_by_the_summed_scores() -> None:
    scores = torch.tensor([[[0.0, 5.0, 1.0, 3.0, 2.0, 4.0, 9.0]]])
    seen = torch.tensor([[True, False, False, False, False, False, True]])
    result = top_votes(scores, torch.tensor([[True]]), seen)[0]
    assert torch.floor(result).tolist() == [0, 1, 1, 1, 1, 1, 0]  # fewer than ten unseen: all of them
    assert result[1:6].argsort(descending=True).tolist() == [0, 4, 2, 3, 1]


def test_an_unknown_inference_is_refused(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inference is 'mean'; expected one of last, sum, top_10_per_five"):
        build(planted, "BERT4Rec", tmp_path, inference="mean")


# S3Rec.


def test_the_nearest_movie_wins_not_the_farthest(planted: AtomicData, tmp_path: Path) -> None:
    """t3-07 took the distance itself for a score."""
    made = build(planted, "S3Rec", tmp_path, scorer="negative_euclidean")
    columns = batch([3, 8, 21], [5])
    hidden = torch.stack([made.hidden_states(torch.tensor([items]))[0, -1] for items in ([3, 8, 21], [5])])
    with torch.no_grad():
        made.item_embedding.weight[9] = hidden[0]  # not in either history
        made.item_embedding.weight[11] = hidden[1]
        made.item_embedding.weight[14] = 100.0
    scores = made.full_sort_predict(columns)
    assert scores[:, 1:].argmax(dim=1).add(1).tolist() == [9, 11]
    assert scores[:, 1:].argmin(dim=1).add(1).tolist() == [14, 14]
    distance = (hidden[:, None] - made.item_vectors()[None]).norm(dim=2)
    torch.testing.assert_close(scores, -distance, rtol=1e-3, atol=1e-3)


def test_the_euclidean_loss_is_a_softmax_over_minus_squared_distances(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "S3Rec", tmp_path, scorer="negative_euclidean")
    made.train_stage = "finetune"
    loss = made.calculate_loss({**batch([3]), "item_id": torch.tensor([8])})
    scores = made.full_sort_predict(batch([3]))[:, 1:]
    torch.testing.assert_close(loss, cross_entropy(-scores.square(), torch.tensor([7])), rtol=1e-3, atol=1e-3)


def test_attributes_by_hand() -> None:
    features = {"genre": torch.tensor([[0, 0], [1, 2], [2, 0], [3, 2]]), "director": torch.tensor([[0], [1], [0], [1]])}

    class Features(dict):
        interaction = features

        def __len__(self) -> int:
            return 4

    dataset = SimpleNamespace(item_feat=Features(features))
    table = attribute_table(dataset, ["genre", "writer", "director"], min_movies=2)
    assert table.int().tolist() == [[0, 0], [1, 1], [1, 0], [1, 1]]  # genre 2 and director 1; nobody has a writer
    assert attribute_table(dataset, ["genre"], 1).int().tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert attribute_table(dataset, ["writer"], 1).shape == (4, 0)


def test_segments_are_runs_of_one_to_half_the_rows() -> None:
    length = torch.tensor([2, 3, 7, LENGTH]).repeat(500)
    inside = draw_segments(length, LENGTH)
    rows = inside.sum(dim=1)
    assert (rows >= 1).all()
    assert (rows <= length // 2).all()
    assert not inside[torch.arange(LENGTH) >= length[:, None]].any()
    starts = (inside.int().diff(dim=1, prepend=torch.zeros(len(inside), 1, dtype=torch.int)) == 1).sum(dim=1)
    assert (starts == 1).all(), "a segment is not one run"
    longest = inside[length == LENGTH]
    assert set(longest.sum(dim=1).tolist()) == set(range(1, LENGTH // 2 + 1))
    assert longest.any(dim=0).all()


def test_pretraining_learns_attributes_and_segments(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "S3Rec", tmp_path, hidden_dropout_prob=0.0, attn_dropout_prob=0.0)
    torch.manual_seed(0)
    made.apply(made._init_weights)
    rows = Interactions.from_rows(planted.interactions, planted.vocabulary)
    columns = batch(*(rows.item_ix[rows.indptr[u] : rows.indptr[u + 1]][-LENGTH:].tolist() for u in range(1, 31)))
    items, length = columns["item_id_list"], columns["item_length"]
    optimizer = torch.optim.Adam(made.parameters(), lr=0.005)
    for _ in range(60):
        optimizer.zero_grad()
        made.calculate_loss(columns).backward()
        optimizer.step()
    for name in ("aap_norm", "mip_norm", "map_norm", "sp_norm"):
        assert made.get_parameter(f"{name}.weight").grad.abs().sum() > 0, f"{name} takes no part"
    states = made.forward(items)
    attributes = made.aap_norm(states[items > 0]) @ made.feature_embedding.weight.T > 0
    right = (attributes == made.attributes[items[items > 0]]).float().mean()
    assert right > 1 - made.attributes.float().mean() + 0.08  # than saying no to everything
    assert made.segment_loss(items, length) < 0.75 * np.log(len(items))  # than guessing


def test_the_stages_follow_one_another(planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, "S3Rec", tmp_path)
    config = build_config(CATALOG["S3Rec"].with_parameters({"pretrain_epochs": 2}), 1, tmp_path)
    scheme = S3RecScheme(config, made)
    stages = []
    no_batches = SimpleNamespace(epoch=lambda rng: [])
    for _ in range(4):
        scheme.epoch(no_batches, np.random.default_rng(0))
        stages.append((made.train_stage, scheme.is_pretraining))
    assert stages == [("pretrain", True)] * 2 + [("finetune", False)] * 2


def test_pretraining_ends_with_its_share_of_the_budget(planted: AtomicData, tmp_path: Path) -> None:
    config = build_config(CATALOG["S3Rec"], 1, tmp_path)
    no_batches = SimpleNamespace(epoch=lambda rng: [])
    for budget, expected in ((1e-6, "finetune"), (1e6, "pretrain")):
        made = build(planted, "S3Rec", tmp_path)
        S3RecScheme(config, made, budget).epoch(no_batches, np.random.default_rng(0))
        assert made.train_stage == expected


def fit_s3rec(data: AtomicData, scratch: Path, changes: dict[str, Any], **settings: Any) -> Fitted:
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    entry = CATALOG["S3Rec"].with_parameters({"epochs": 3, **changes})
    return fit(entry, data, rows, FitSettings(1, scratch, **settings), lambda fitted: 0.5)


def test_a_budget_that_ends_while_pretraining_still_fine_tunes(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_s3rec(planted, tmp_path, {"pretrain_share": 1.0, "epochs": 500, "pretrain_epochs": 400}, budget=0.02)
    assert fitted.model.train_stage == "finetune"
    assert fitted.stage_epochs == {"pretrain_epochs": len(fitted.epochs) - 1}
    assert fitted.out_of_budget


def test_only_fine_tuning_is_validated(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_s3rec(planted, tmp_path, {"pretrain_epochs": 2})
    assert [np.isnan(record.valid_recall) for record in fitted.epochs] == [True, True, False]
    assert fitted.best_epoch == 3


def test_a_refit_repeats_the_stages_of_the_fit_whatever_the_time(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_s3rec(planted, tmp_path, {"pretrain_epochs": 1}, epochs=2, budget=1e-9)
    assert fitted.stage_epochs == {"pretrain_epochs": 1}
    assert (len(fitted.epochs), fitted.model.train_stage) == (2, "finetune")


# DIN and DIEN.


@pytest.mark.parametrize("model", ["DIN", "DIEN"])
def test_ranking_all_movies_equals_rating_pair_by_pair(model: str, planted: AtomicData, tmp_path: Path) -> None:
    made = build(planted, model, tmp_path)
    columns = batch([3, 8, 21], [], list(range(1, LENGTH + 1)))
    columns["neg_item_id_list"] = torch.zeros_like(columns["item_id_list"])  # read by DIEN's auxiliary loss alone
    scores = torch.sigmoid(made.full_sort_predict(columns))
    for movie in range(made.n_items):
        expected = made.predict({**columns, "item_id": torch.full((3,), movie)})
        torch.testing.assert_close(scores[:, movie], expected)


# Where order is all there is.

N_MOVIES, LOG = 40, 14


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> AtomicData:
    """Everybody starts anywhere on a circle of movies and watches the next ones in turn."""
    rng = np.random.default_rng(0)
    rows = [
        (user, 1 + (start + step) % N_MOVIES, 1_200_000_000 + step)
        for user, start in enumerate(rng.integers(0, N_MOVIES, 300), start=1)
        for step in range(LOG)
    ]
    numbers = range(1, N_MOVIES + 1)
    movies = pd.DataFrame({"item": numbers, "title": [f"Movie {n}" for n in numbers], "year": 1990.0})
    for feature in ("genre", "director", "writer"):
        movies[feature] = [()] * N_MOVIES
    ratings = pd.DataFrame(rows, columns=["user", "item", "time"])
    competition = SourceData(ratings=ratings, movies=movies, counts={}, source="chain")
    return read_atomic(write_atomic(competition, tmp_path_factory.mktemp("atomic"), "chain"))


def hit_rate_of_the_first(data: AtomicData, model: str, scratch: Path, epochs: int | None, **changes: Any) -> float:
    """Share of users whose last movie comes first; the rest of the log is known."""
    is_last = data.interactions.groupby("user")["time"].transform("max") == data.interactions["time"]
    held = Interactions.from_rows(data.interactions[is_last], data.vocabulary)
    train = Interactions.from_rows(data.interactions[~is_last], data.vocabulary)
    entry = CATALOG[model]
    fitted = fit(
        replace(entry, parameters={**entry.parameters, **changes}), data, train, FitSettings(1, scratch, epochs=epochs)
    )
    best = fitted.rank(train, np.unique(held.user_ix), 1)
    return recall_at_k(best.item_ix, best.user_ix, held.csr, 1)


def test_sequence_models_win_where_only_order_matters(chain: AtomicData, tmp_path: Path) -> None:
    """The next movie and the one before the first go with a log equally often: only order tells them apart."""
    fast = {"learning_rate": 0.01, "train_batch_size": 32}
    others = [hit_rate_of_the_first(chain, model, tmp_path, None) for model in ("Pop", "EASE")]
    sasrec = hit_rate_of_the_first(chain, "SASRec", tmp_path, 12, hidden_size=32, n_layers=1, **fast)
    gru4rec = hit_rate_of_the_first(chain, "GRU4Rec", tmp_path, 12, hidden_size=32, embedding_size=32, **fast)
    assert min(sasrec, gru4rec) > 0.9
    assert min(sasrec, gru4rec) > max(others) + 0.2
