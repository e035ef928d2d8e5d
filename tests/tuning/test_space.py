"""Search spaces: what their YAMLs may say, what is drawn from them, and that the shipped ones suit their models."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from movierec_bench.data.atomic import AtomicData
from movierec_bench.errors import ConfigError
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.yaml_files import ConfigFolders
from movierec_bench.tuning.space import Domain, SearchSpace, load_space

PROMISED = {
    "ADMMSLIM",
    "ALS",
    "BERT4Rec",
    "BPR",
    "BPRSGD",
    "DeepFM",
    "EASE",
    "EASER",
    "GRU4Rec",
    "ItemKNN",
    "LightGCN",
    "MultiDAE",
    "MultiVAE",
    "RP3beta",
    "RecVAE",
    "SASRec",
    "UserKNN",
}
CATALOG = load_catalog()
QUANTILES = st.floats(0, 1, exclude_max=True)


def space_of(folder: Path, text: str, model: str = "BPR") -> SearchSpace:
    (folder / "tune").mkdir(parents=True, exist_ok=True)
    (folder / "tune" / f"{model}.yaml").write_text(text)
    return load_space(CATALOG[model], ConfigFolders(folder))


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    kind = draw(st.sampled_from(["uniform", "log_uniform", "int", "log_int"]))
    whole = kind.endswith("int")
    lowest = (1 if whole else 1e-8) if kind.startswith("log_") else -1000
    numbers = st.integers(lowest, 10**6) if whole else st.floats(lowest, 1e6)
    low, high = sorted(draw(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])))
    return Domain(kind, (low, high))


# -- domains ------------------------------------------------------------------------------------


@given(domains(), QUANTILES)
@example(Domain("log_int", (5, 6)), 0.0)  # exp(log(5)) is a little less than 5
def test_every_value_lies_within_the_bounds(domain: Domain, quantile: float) -> None:
    value = domain.at(quantile)
    assert value in domain
    assert isinstance(value, int if domain.kind.endswith("int") else float)


@given(domains(), QUANTILES, QUANTILES)
def test_higher_quantiles_are_higher_values(domain: Domain, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert domain.at(low) <= domain.at(high)


@pytest.mark.parametrize("kind", ["int", "log_int"])
def test_both_bounds_of_an_integer_are_drawn(kind: str) -> None:
    domain = Domain(kind, (2, 5))
    assert {domain.at(quantile) for quantile in np.linspace(0, 0.999, 200)} == {2, 3, 4, 5}


def test_the_middle_of_a_logarithmic_domain_is_the_geometric_mean() -> None:
    assert Domain("log_uniform", (1.0, 10000.0)).at(0.5) == 100.0
    assert Domain("uniform", (1.0, 10000.0)).at(0.5) == 5000.0, "four significant digits of 5000.5"


def test_choices_share_the_quantiles_evenly() -> None:
    domain = Domain("choice", ("a", [1, 2], None))
    assert [domain.at(quantile) for quantile in (0.0, 0.33, 0.34, 0.66, 0.67, 0.99)] == ["a", "a", [1, 2], [1, 2]] + [
        None
    ] * 2
    assert "b" not in domain


# -- what may be written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it names no parameter"),
        ("embeding_size: {choice: [8, 16]}", "no parameter 'embeding_size'; did you mean embedding_size"),
        ("embedding_size: 8", "expected one of choice, uniform"),
        ("embedding_size: {grid: [8, 16]}", "expected one of choice, uniform"),
        ("embedding_size: {choice: [8, 16], int: [8, 16]}", "expected one of choice, uniform"),
        ("embedding_size: {choice: [8]}", "at least two different values"),
        ("embedding_size: {choice: [8, 16, 8]}", "at least two different values"),
        ("embedding_size: {choice: 8}", "at least two different values"),
        ("learning_rate: {uniform: [0.1]}", "two finite numbers"),
        ("learning_rate: {uniform: [0.1, .inf]}", "two finite numbers"),
        ("learning_rate: {uniform: [0.1, high]}", "two finite numbers"),
        ("learning_rate: {uniform: [0.2, 0.1]}", "lowest value first"),
        ("learning_rate: {log_uniform: [0.0, 0.1]}", "above 0"),
        ("embedding_size: {int: [8.5, 16]}", "two integers"),
        ("embedding_size: {log_int: [0, 16]}", "above 0"),
    ],
)
def test_a_wrong_space_is_refused_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match="BPR.yaml") as refused:
        space_of(tmp_path, text)
    assert message in str(refused.value)


def test_a_model_without_a_space_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ConfigError, match="Pop has no search space; expected one of ADMMSLIM, ALS"):
        load_space(CATALOG["Pop"], ConfigFolders())


def test_a_users_space_wins(tmp_path: Path) -> None:
    space = space_of(tmp_path, "learning_rate: {log_uniform: [1e-4, 1e-2]}")
    assert space.domains == {"learning_rate": Domain("log_uniform", (1e-4, 1e-2))}


# -- what is drawn ------------------------------------------------------------------------------


def test_draws_differ_from_each_other_and_from_the_default(tmp_path: Path) -> None:
    space = space_of(tmp_path, "embedding_size: {choice: [8, 16, 64]}\ntrain_batch_size: {int: [1, 3]}")
    default = {"embedding_size": 64, "train_batch_size": 2, "learner": "adam"}
    drawn = space.draw(samples=20, seed=1, besides=default)
    assert len(drawn) == 8, "nine combinations, of which one is the default"
    assert len({tuple(values.items()) for values in drawn}) == 8
    assert {"embedding_size": 64, "train_batch_size": 2} not in drawn


def test_more_samples_begin_with_the_same_ones() -> None:
    space = load_space(CATALOG["MultiVAE"], ConfigFolders())
    default = CATALOG["MultiVAE"].parameters
    few, many = (space.draw(samples, seed=3, besides=default) for samples in (5, 12))
    assert many[:5] == few
    assert space.draw(5, seed=4, besides=default) != few


def test_draws_spread_over_the_space() -> None:
    """Each eighth of a logarithmic domain gets its share of 64 draws, which independent ones seldom manage."""
    space = load_space(CATALOG["EASE"], ConfigFolders())
    values = [draw["reg_weight"] for draw in space.draw(64, seed=0, besides={"reg_weight": 500.0})]
    low, high = space.domains["reg_weight"].values
    shares = np.histogram([math.log(value / low) / math.log(high / low) for value in values], bins=8, range=(0, 1))[0]
    assert shares.min() >= 7


# -- the shipped spaces -------------------------------------------------------------------------


def test_all_the_promised_models_have_a_space() -> None:
    assert {path.stem for path in ConfigFolders().files("tune")} >= PROMISED


@pytest.mark.parametrize("name", [path.stem for path in ConfigFolders().files("tune")])
def test_the_default_lies_within_the_shipped_space(name: str) -> None:
    space = load_space(CATALOG[name], ConfigFolders())
    for parameter, domain in space.domains.items():
        assert CATALOG[name].parameters[parameter] in domain, parameter


@pytest.mark.parametrize("name", [path.stem for path in ConfigFolders().files("tune")])
def test_a_draw_trains_on_rows_that_it_cannot_change(name: str, planted: AtomicData, tmp_path: Path) -> None:
    """Trials share the rows in the object store, where they are read-only."""
    from movierec_bench.evaluation.validation import validator
    from movierec_bench.training.trainer import FitSettings, fit
    from movierec_bench.tuning.ray_tune import SearchRows

    rows = planted.interactions
    shared = SearchRows.of(planted, rows.iloc[::2], rows.iloc[1::2], known=rows.iloc[::2])
    columns = (shared.train.user_ix, shared.train.item_ix, shared.train.time)
    before = [column.copy() for column in columns]
    for column in columns:
        column.setflags(write=False)
    entry = CATALOG[name]
    for values in load_space(entry, ConfigFolders()).draw(2, seed=0, besides=entry.parameters):
        changes = {**values, "epochs": 1} if "epochs" in entry.parameters else values
        fitted = fit(entry.with_parameters(changes), shared.data, shared.train, FitSettings(seed=0, scratch=tmp_path))
        validate = validator(shared.valid, shared.train, shared.data)
        assert 0 < validate(fitted) <= 1
    for column, copy in zip(columns, before):
        assert np.array_equal(column, copy)


def test_rows_for_trials_hold_no_row_but_those_given(planted: AtomicData) -> None:
    from movierec_bench.tuning.ray_tune import SearchRows

    rows = planted.interactions
    shared = SearchRows.of(planted, rows.iloc[:100], rows.iloc[100:150], known=rows.iloc[:100])
    assert len(shared.data.interactions) == 0
    assert sorted(shared.train.time) == sorted(rows["time"].iloc[:100])
    assert len(planted.interactions) > 150, "the caller's data set keeps its rows"


# -- variants, and what a parameter may be -------------------------------------------------------


def test_a_variant_is_searched_as_its_base_but_for_what_it_sets(tmp_path: Path) -> None:
    base = load_space(CATALOG["BERT4Rec"], ConfigFolders())
    space = load_space(CATALOG["BERT4Rec_sum"], ConfigFolders())
    assert space.domains == {name: domain for name, domain in base.domains.items() if name != "inference"}
    own_space = space_of(tmp_path, "learning_rate: {uniform: [0.1, 0.2]}", model="BERT4Rec_sum")
    assert set(own_space.domains) == {"learning_rate"}


def test_a_variant_of_which_everything_searched_is_set_says_so(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "EASE_heavy.yaml").write_text("base: EASE\nreg_weight: 5000.0\n")
    with pytest.raises(ConfigError, match=r"reg_weight alone, which the variant EASE_heavy sets.*EASE_heavy.yaml"):
        load_space(load_catalog(tmp_path)["EASE_heavy"], ConfigFolders(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("embedding_size: {int: [0, 16]}", "line 1: BPR: embedding_size is 0; expected an integer >= 1"),
        ("learning_rate: {uniform: [0.0, 0.1]}", "BPR: learning_rate is 0.0; expected a number > 0"),
        ("embedding_size: {uniform: [8, 16]}", "expected int or log_int, as it takes whole numbers"),
        ("learner: {choice: [adam, adamm]}", "BPR: learner is 'adamm'; expected one of adam, adamw"),
    ],
)
def test_a_space_lies_within_what_a_parameter_may_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(tmp_path, text)
