"""What a comment may declare; that every shipped parameter is declared; that what is not allowed is refused."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.settings.catalog import load_catalog, recbole_defaults
from movierec_bench.settings.declarations import Choice, parse_declaration
from movierec_bench.settings.entry_reading import PROTOCOL_KEYS, declared_for_all
from movierec_bench.settings.yaml_files import YamlFile, packaged_configs, read_yaml
from movierec_bench.training.trainer import FitSettings, fit

MODELS = sorted((packaged_configs() / "models").glob("*.yaml"))
each_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)


def changed(folder: Path, model: str, key: str, value: str) -> Path:
    """A configuration folder with a copy of a packaged model in which one line is another."""
    text = (packaged_configs() / "models" / f"{model}.yaml").read_text(encoding="utf-8")
    line = re.compile(rf"^{re.escape(key)}:.*$", re.MULTILINE)
    new = f"{key}: {value}"
    text = line.sub(lambda _: new, text) if line.search(text) else f"{text}{new}\n"
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models" / f"{model}.yaml").write_text(text, encoding="utf-8")
    return folder


# -- what may be declared -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "allowed", "refused", "expected"),
    [
        ("float > 0, x", [1, 0.5, 1e300], [0, -1, True, "1", None, float("nan"), float("inf")], "a number > 0"),
        ("float >= 0", [0, 0.0], [-1e-9], "a number >= 0"),
        ("float <= 0", [0, -1], [1], "a number <= 0"),
        ("float in [0, 1), x", [0, 0.99], [1, -0.1], "a number in [0, 1)"),
        ("float in (0, 1]", [1, 0.1], [0], "a number in (0, 1]"),
        ("float", [-1e9, 3], ["3"], "a number"),
        ("int >= 1 (users), neighbours", [1, 7], [0, 1.0, True, "1"], "an integer >= 1"),
        ("int in [-1, 1]", [-1, 0, 1], [2, -2], "an integer in [-1, 1]"),
        ("bool, whether", [True, False], [0, 1, "yes", None], "true or false"),
        ("str, a field", ["", "a"], [1, None], "text"),
        ("a | b (does this, and that) | c", ["a", "b"], ["d", None, 1], "one of a, b, c"),
        ("'' | 0 | null | true", ["", 0, None, True], [False, 1, "null"], "one of '', 0, null, true"),
        ('only "01", no ratings', ["01"], [1, "1"], "only '01'"),
        ("only []", [[]], [[1], None], "only []"),
        ("list of int >= 1", [[], [1, 2]], [[0], 1, [1.5], "12"], "a list of integers >= 1"),
        ("list of 1 or more float > 0", [[1]], [[], [0]], "a list of numbers > 0, at least 1 of them"),
        ("list of 2 float >= 0", [[0, 1]], [[0], [0, 1, 2]], "a list of 2: numbers >= 0"),
        ("null or list of str", [None, ["a"]], ["a"], "null or a list of text"),
        ("mapping of list of str", [{}, {"a": ["b"]}], [[], {"a": "b"}], "a mapping, each value a list of text"),
        (
            "null or {norm: float > 0, kind: a | b}, x",
            [None, {}, {"norm": 1}, {"kind": "a"}],
            [{"norm": 0}, {"kind": "c"}, {"other": 1}, 3],
            "null or some of {norm: a number > 0, kind: one of a, b}",
        ),
    ],
)
def test_a_declaration_allows_and_refuses(comment: str, allowed: list[Any], refused: list[Any], expected: str) -> None:
    kind = parse_declaration(comment).kind
    assert [value for value in allowed if not kind.allows(value)] == []
    assert [value for value in refused if kind.allows(value)] == []
    assert kind.expected == expected


def test_a_declaration_says_unit_meaning_and_source() -> None:
    found = parse_declaration("int >= 1 (users), neighbours of a user; t3-07; ours")
    assert (found.text, found.unit, found.meaning, found.source) == (
        "int >= 1",
        "users",
        "neighbours of a user",
        "t3-07; ours",
    )
    found = parse_declaration("sum (of the similarities) | max, of them; t3-07")
    assert (found.text, found.unit) == ("sum | max", "")
    assert found.meaning == "sum: of the similarities; of them"


@pytest.mark.parametrize(
    "comment",
    ["", "adds up", "float > 0 and more", "float >", "int >= one", "list of", "{a: int", "a |", "only", "floating, x"],
)
def test_what_declares_nothing_is_no_declaration(comment: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_declaration(comment)


def test_numbers_are_taken_in_the_declared_type() -> None:
    kind = parse_declaration("{rate: float > 0, sizes: list of float > 0, n: int >= 1, more: null or float}").kind
    taken = kind.taken({"rate": 1, "sizes": [1, 2], "n": 3, "more": None})
    assert taken == {"rate": 1.0, "sizes": [1.0, 2.0], "n": 3, "more": None}
    assert [type(value) for value in (taken["rate"], taken["sizes"][0], taken["n"])] == [float, float, int]


# -- that everything shipped is declared --------------------------------------------------------


def parameters_of(file: YamlFile) -> Iterator[str]:
    yield from (key for key in file.content if key not in ("catalog", "base"))


@each_model
def test_every_parameter_of_a_packaged_model_is_declared(path: Path) -> None:
    file, shared = read_yaml(path), read_yaml(packaged_configs() / "common.yaml")
    for key in parameters_of(file):
        assert key in file.comments, f"{key} has no comment"
        try:
            declared = parse_declaration(file.comments[key])
        except ValueError:
            assert key in shared.content, f"{key}: {file.comments[key]!r} begins with no declaration"
            continue
        if key in shared.content:
            assert declared.kind == parse_declaration(shared.comments[key]).kind, (
                f"{key} is declared twice, differently"
            )


@pytest.mark.parametrize("name", ["common.yaml", "recbole_keys.yaml"])
def test_every_shared_key_is_declared_and_its_default_allowed(name: str) -> None:
    file = read_yaml(packaged_configs() / name)
    for key, value in file.content.items():
        assert parse_declaration(file.comments[key]).kind.allows(value), key


def test_every_key_that_recbole_lets_a_model_have_is_declared() -> None:
    for entry in load_catalog().values():
        for key in {*entry.parameters, *(recbole_defaults(entry.class_name) if entry.source == "recbole" else ())}:
            assert key in entry.declared or key in PROTOCOL_KEYS, f"{entry.name}: {key}"


def test_recboles_own_defaults_of_the_shared_keys_are_allowed() -> None:
    """So that a YAML which writes them out is not refused."""
    defaults = {key: value for key, value in recbole_defaults("BPR").items() if key in declared_for_all()}
    defaults["train_neg_sample_args"] = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False}
    assert [key for key, value in defaults.items() if not declared_for_all()[key].kind.allows(value)] == []


# -- that what is not allowed is refused --------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "key", "value", "expected"),
    [
        ("EASE", "reg_weight", "-1", "EASE: reg_weight is -1; expected a number > 0"),
        ("BPR", "learning_rate", "-1", "BPR: learning_rate is -1; expected a number > 0"),
        ("SASRecF", "hidden_dropout_prob", "7", "SASRecF: hidden_dropout_prob is 7; expected a number in [0, 1)"),
        ("BPR", "learner", "adamm", "BPR: learner is 'adamm'; expected one of adam, adamw"),
        ("BPR", "worker", "4", "BPR: worker is 4; expected only 0"),
        ("BPR", "train_batch_size", "12.5", "BPR: train_batch_size is 12.5; expected an integer >= 1"),
        ("LightGBM", "lgb_params", "{forcedsplits_filename: a.json}", "LightGBM: lgb_params is"),
        ("BPR", "train_neg_sample_args", "{distribution: uniform, dynamic: true}", "dynamic: only false"),
    ],
)
def test_one_clear_error_names_model_key_file_and_what_is_allowed(
    tmp_path: Path, model: str, key: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_catalog(changed(tmp_path, model, key, value))
    assert str(refused.value).startswith(f"{tmp_path}/models/{model}.yaml line ")
    assert expected in str(refused.value)


@each_model
def test_a_value_of_the_wrong_type_is_refused_for_every_parameter(path: Path, tmp_path: Path) -> None:
    """No declaration allows a mapping of this key, nor text of this kind where there is a choice."""
    file = read_yaml(path)
    if "base" in file.content:
        return
    for key in parameters_of(file):
        with pytest.raises(ConfigError, match=rf"{path.name} line \d+: {path.stem}: {re.escape(key)} is "):
            load_catalog(changed(tmp_path / key, path.stem, key, "{no_such_key: 1}"))


def test_a_users_comment_opens_nothing(tmp_path: Path) -> None:
    for value, key in (("evil.pth  # str", "warm_up"), ("'CIN or evil()'  # str", "teacher")):
        with pytest.raises(ConfigError, match=f"KD_DAGFM: {key} is"):
            load_catalog(changed(tmp_path / key, "KD_DAGFM", key, value))


def test_a_users_common_yaml_is_checked(tmp_path: Path) -> None:
    text = (packaged_configs() / "common.yaml").read_text(encoding="utf-8")
    (tmp_path / "common.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 0"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"common.yaml line \d+: .*learning_rate is 0; expected a number > 0"):
        load_catalog(tmp_path)


def test_a_missing_parameter_of_a_model_of_ours_is_named(tmp_path: Path) -> None:
    folder = changed(tmp_path, "EASE", "reg_weight", "1")
    file = folder / "models" / "EASE.yaml"
    file.write_text(file.read_text().replace("reg_weight: 1", ""))
    with pytest.raises(ConfigError, match=r"'reg_weight' of EASE is missing; .*`reg_weight: 500.0`"):
        load_catalog(folder)


# -- that nothing is run or loaded --------------------------------------------------------------

# Every key from which RecBole evaluates a string, imports a module or loads a file, and where it does.
SINKS = {
    "kd_dagfm.py": {"teacher", "warm_up"},
    "convncf.py": {"pre_model_path"},
    "nais.py": {"pretrain_path"},
    "ract.py": {"pre_model_path"},
    "s3rec.py": {"pre_model_path"},
    "neumf.py": {"mf_pretrain_path", "mlp_pretrain_path"},
    "ldiffrec.py": {"n_cate"},  # item_emb.npy, where there is more than one cluster
    "eulernet.py": set(),  # getattr of attributes it names itself
    "abstract_recommender.py": set(),  # getattr of other_parameter_name
}


def test_every_place_where_recboles_models_evaluate_or_load_is_known() -> None:
    import recbole.model

    pattern = re.compile(r"(?<![.\w])eval\(|exec\(|torch\.load|np\.load|importlib|__import__|pickle|getattr\(|open\(")
    found = {path.name for path in Path(recbole.model.__path__[0]).rglob("*.py") if pattern.search(path.read_text())}
    assert found == set(SINKS)


@pytest.mark.parametrize("key", sorted(set().union(*SINKS.values())))
def test_keys_that_are_evaluated_or_loaded_are_closed_choices(key: str) -> None:
    for entry in load_catalog().values():
        if entry.source == "recbole" or key in entry.parameters:
            assert isinstance(entry.declared[key].kind, Choice), entry.name
    assert isinstance(declared_for_all()[key].kind, Choice)


CANARY = "__import__('os').system('touch {}')"


@each_model
def test_a_canary_in_any_value_never_runs(path: Path, planted: AtomicData, tmp_path: Path) -> None:
    """In every value of every YAML, its catalogue block included: refused, or trained without being run."""
    bird = tmp_path / "canary"
    song = CANARY.format(bird)
    content = read_yaml(path).content
    for number, place in enumerate(_places(content)):
        folder = tmp_path / str(number)
        (folder / "models").mkdir(parents=True)
        (folder / "models" / path.name).write_text(yaml.safe_dump(_with(content, place, song)), encoding="utf-8")
        with contextlib.suppress(ConfigError):
            accepted = load_catalog(folder)[path.stem]
            with contextlib.suppress(Exception):  # a field's name that the data do not have, and the like
                train = Interactions.from_rows(planted.interactions.iloc[:40], planted.vocabulary)
                fit(accepted, planted, train, FitSettings(seed=1, scratch=folder, epochs=1))
        assert not bird.exists(), place


def test_the_canary_would_sing_if_a_value_reached_recboles_eval(planted: AtomicData, tmp_path: Path) -> None:
    entry = load_catalog()["KD_DAGFM"]
    open_door = replace(entry, parameters={**entry.parameters, "teacher": CANARY.format(tmp_path / "canary")})
    train = Interactions.from_rows(planted.interactions, planted.vocabulary)
    with pytest.raises(TypeError):  # what it evaluates is no class of a network
        fit(open_door, planted, train, FitSettings(seed=1, scratch=tmp_path, epochs=1))
    assert (tmp_path / "canary").exists()


def _places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands in nested mappings and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from _places(value, (*at, key))


def _with(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    if not place:
        return value
    changed = dict(content) if isinstance(content, dict) else list(content)
    changed[place[0]] = _with(changed[place[0]], place[1:], value)
    return changed
