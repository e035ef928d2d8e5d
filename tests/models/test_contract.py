"""One suite that every catalogued model inherits: adding a YAML adds its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.kept_reader import Reads, kept_reader
from support.planted import ROOT, planted_competition

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.split import Split, make_split
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.kept.model_folder import keep
from movierec_bench.ranking.top_k import TopK, top_k, topk_frame
from movierec_bench.schema import K
from movierec_bench.settings.catalog import KNOWN_USERS, ModelEntry, load_catalog
from movierec_bench.settings.protocol import load_protocol
from movierec_bench.training.trainer import FitSettings, Fitted, fit

RUNNABLE = [entry for entry in load_catalog().values() if not entry.needs]
EPOCHS = 2
PROTOCOL = ROOT / "recbole_configs" / "protocol.yaml"
# A stranger with the history of a user is not ranked as that user: by chance, or because others' histories count too.
BY_OTHERS = ("Random", "RippleNet", "UserKNN", "SVD", "LightGBM", "XGBoost")
SMALL_BATCH = {"interactions": 128, "knowledge": 128, "users": 16, "items": 16}  # rows, by what a batch is made of


@pytest.fixture(scope="module")
def split(planted: AtomicData) -> Split:
    return make_split(planted.interactions, load_protocol(PROTOCOL))


@pytest.fixture(scope="module")
def train(planted: AtomicData, split: Split) -> Interactions:
    return Interactions.from_rows(split.train, planted.vocabulary)


# One process keeps all tests of a model, so that its fit is made once.
BY_MODEL = [pytest.param(entry, id=entry.name, marks=pytest.mark.xdist_group(entry.name)) for entry in RUNNABLE]


@pytest.fixture(scope="module", params=BY_MODEL)
def entry(request: pytest.FixtureRequest) -> ModelEntry:
    return request.param


@pytest.fixture(scope="module")
def fitted(
    entry: ModelEntry, planted: AtomicData, train: Interactions, tmp_path_factory: pytest.TempPathFactory
) -> Fitted:
    return fit_small(entry, planted, train, tmp_path_factory.mktemp("scratch"))


def fit_small(entry: ModelEntry, data: AtomicData, train: Interactions, scratch: Path) -> Fitted:
    epochs = EPOCHS if entry.trainer == "epochs" else None
    return fit(entry, data, train, FitSettings(seed=7, scratch=scratch, epochs=epochs))


def all_users(train: Interactions) -> np.ndarray:
    return np.arange(1, train.n_users)


def test_scores_are_finite_fresh_float32_rows(fitted: Fitted, train: Interactions) -> None:
    users = all_users(train)
    scores = fitted.scores(train, users)
    assert scores.shape == (len(users), train.n_items)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores[:, 1:]).all()
    before = scores.clone()
    scores.fill_(-1.0)
    assert torch.equal(fitted.scores(train, users), before), "the scores were not the caller's own"


def test_a_users_scores_do_not_depend_on_the_block(fitted: Fitted, train: Interactions) -> None:
    together = fitted.scores(train, np.array([3, 9, 4]))
    alone = fitted.scores(train, np.array([9]))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_scores(
    entry: ModelEntry, fitted: Fitted, planted: AtomicData, train: Interactions, tmp_path: Path
) -> None:
    again = fit_small(entry, planted, train, tmp_path)
    users = all_users(train)
    torch.testing.assert_close(again.scores(train, users), fitted.scores(train, users), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reads]:
    """Read kept models in a process that has trained none of them."""
    with kept_reader(tmp_path_factory.mktemp("reader")) as read:
        yield read


def test_kept_and_loaded_elsewhere_it_ranks_the_same(
    entry: ModelEntry, fitted: Fitted, planted: AtomicData, train: Interactions, reader: Reads, tmp_path: Path
) -> None:
    best = fitted.rank(train, all_users(train), K)
    keep(tmp_path / "model", fitted, planted, train, seed=7, filters="")
    loaded = reader(tmp_path / "model")
    expected = topk_frame(best, planted.vocabulary)
    pd.testing.assert_frame_equal(loaded[list(expected)], expected, rtol=1e-5)
    assert loaded["title"].str.startswith("Movie ").all()

    if KNOWN_USERS in entry.requires:
        with pytest.raises(AssertionError, match=f"ModelError: {entry.name} needs users it was trained on"):
            reader(tmp_path / "model", [10, 20])
        return
    user = planted.vocabulary.users[4]
    history = planted.vocabulary.item_ids(train.item_ix[train.indptr[5] : train.indptr[6]])
    stranger = reader(tmp_path / "model", history)
    assert len(stranger) == K and not set(stranger["item"]) & set(history)
    if entry.name not in BY_OTHERS:
        assert stranger["item"].tolist() == expected.loc[expected["user"] == user, "item"].tolist()


def test_no_seen_movie_is_recommended_and_everyone_gets_ten(fitted: Fitted, train: Interactions) -> None:
    best = fitted.rank(train, all_users(train), K)
    assert (best.item_ix > 0).all()
    for user, items in zip(best.user_ix, best.item_ix):
        assert not train.csr[user, items].toarray().any()
        assert len(set(items)) == K


def test_it_ranks_from_a_longer_history_and_only_what_is_new_changes_it(
    entry: ModelEntry, fitted: Fitted, planted: AtomicData, split: Split, train: Interactions
) -> None:
    longer = Interactions.from_rows(pd.concat([split.train, split.valid]), planted.vocabulary)
    users = all_users(train)
    before = fitted.scores(train, users).clone()
    after = fitted.scores(longer, users)
    assert torch.isfinite(after[:, 1:]).all()
    if entry.history == "none":
        torch.testing.assert_close(after, before)
    torch.testing.assert_close(fitted.scores(train, users), before)


def test_rankings_of_two_histories_do_not_change_each_other(fitted: Fitted, train: Interactions, split: Split) -> None:
    """Whatever a model keeps of a history is of the one it ranks from now, also where two are ranked in turn."""
    shorter = Interactions(
        *(column[train.user_ix % 2 == 0] for column in (train.user_ix, train.item_ix, train.time)),
        train.n_users,
        train.n_items,
    )
    users = all_users(train)
    first, other = fitted.rank(train, users, K), fitted.rank(shorter, users, K)
    np.testing.assert_array_equal(fitted.rank(train, users, K).item_ix, first.item_ix)
    np.testing.assert_array_equal(fitted.rank(shorter, users, K).item_ix, other.item_ix)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> AtomicData:
    """More users and movies than `planted`, a few far more popular: chance finds a tenth of what is hidden."""
    competition = planted_competition(n_users=150, n_movies=120, skew=1.0)
    return read_atomic(write_atomic(competition, tmp_path_factory.mktemp("atomic"), "crowd"))


def test_it_beats_random(entry: ModelEntry, crowd: AtomicData, tmp_path: Path) -> None:
    if entry.name == "Random":
        pytest.skip("Random is what the others are compared with")
    split = make_split(crowd.interactions, load_protocol(PROTOCOL))
    train, held = (Interactions.from_rows(rows, crowd.vocabulary) for rows in (split.train, split.test))
    longer = Interactions.from_rows(pd.concat([split.train, split.valid]), crowd.vocabulary)
    users = np.unique(held.user_ix)

    def recall(best: TopK) -> float:
        return recall_at_k(best.item_ix, best.user_ix, held.csr, K)

    epochs = None
    if entry.trainer == "epochs":  # a default batch holds all of these few rows: an epoch would be one step
        epochs = 20
        size = min(entry.parameters["train_batch_size"], SMALL_BATCH.get(entry.batches, 256))
        entry = entry.with_parameters({"train_batch_size": size})
    fitted = fit(entry, crowd, train, FitSettings(seed=7, scratch=tmp_path, epochs=epochs))
    rng = np.random.default_rng(0)

    def by_chance(block: np.ndarray) -> np.ndarray:
        return rng.random((len(block), train.n_items), dtype=np.float32)

    chance = [recall(top_k(by_chance, users, longer.csr, K)) for _ in range(20)]
    assert recall(fitted.rank(longer, users, K)) > np.mean(chance) + 2 * np.std(chance)
