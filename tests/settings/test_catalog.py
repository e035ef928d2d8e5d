"""The catalogue: discovery, groups, overriding, and messages for every kind of wrong YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from movierec_bench.errors import ConfigError
from movierec_bench.schema import FAMILIES
from movierec_bench.settings.catalog import ModelEntry, load_catalog, select
from movierec_bench.settings.yaml_files import load_yaml, packaged_configs

GOOD = "catalog:\n  family: general\n  source: recbole\n  trainer: epochs\n  batches: interactions\n  history: none\n"


def own(folder: Path, name: str, text: str) -> Path:
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_every_yaml_is_a_model_and_nothing_else_is() -> None:
    files = {path.stem for path in (packaged_configs() / "models").glob("*.yaml")}
    assert set(load_catalog()) == files


def test_every_model_joins_its_family_and_all() -> None:
    for entry in load_catalog().values():
        assert entry.family in FAMILIES
        assert {"all", entry.family} <= set(entry.groups)


def test_every_packaged_parameter_has_a_comment() -> None:
    for path in (packaged_configs() / "models").glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), f"{path.name} does not open with what the model is"
        parameters = [line for line in lines if line and line[0].isalpha() and line != "catalog:"]
        assert [line for line in parameters if "  # " not in line] == [], path.name


def test_select_takes_names_groups_and_exclusions() -> None:
    catalog = load_catalog()
    names = [entry.name for entry in select(catalog, "sequential,BPR,-SASRec")]
    assert "BPR" in names
    assert "SASRec" not in names
    assert select(catalog, ["BPR", "MultiVAE"]) == select(catalog, "MultiVAE, BPR")


def test_only_exclusions_mean_all_but() -> None:
    catalog = load_catalog()
    assert {entry.name for entry in select(catalog, "-BPR")} == set(catalog) - {"BPR"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("MultiVEA", "did you mean MultiVAE"),
        ("bpr", "did you mean BPR"),
        ("xyzzy", "groups are all"),
        ("", "no model was named"),
        ("BPR,-BPR", "leaves no model"),
    ],
)
def test_select_refuses(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(load_catalog(), asked)


def test_a_users_file_wins_over_the_packaged_one(tmp_path: Path) -> None:
    catalog = load_catalog(own(tmp_path, "BPR", GOOD + "embedding_size: 8\n"))
    assert catalog["BPR"].parameters["embedding_size"] == 8
    assert set(catalog) == set(load_catalog())


def test_a_new_yaml_is_a_new_model(tmp_path: Path) -> None:
    assert (
        load_catalog(own(tmp_path, "NewOne", GOOD.replace("recbole", "ours") + "depth: 3\n"))["NewOne"].parameters[
            "depth"
        ]
        == 3
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("embedding_size: 8\n", ["BPR.yaml", "no 'catalog:' block"]),
        (GOOD.replace("general", "generic"), ["catalog.family", "'generic'", "general"]),
        (GOOD.replace("recbole", "mine"), ["catalog.source", "'mine'", "ours, adapted, recbole"]),
        (GOOD + "embeding_size: 8\n", ["BPR.yaml", "'embeding_size'", "embedding_size"]),
        (GOOD + "topk: [20]\n", ["BPR.yaml", "'topk'", "protocol"]),
        (GOOD.replace("  family", "  kind: x\n  family"), ["catalog.kind"]),
        ("catalog: [\n", ["BPR.yaml line 2"]),
        ("- a\n", ["found a list"]),
    ],
)
def test_a_wrong_yaml_is_refused_with_file_key_and_choice(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_catalog(own(tmp_path, "BPR", text))
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_configuration_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_catalog(tmp_path / "nowhere")


def test_floats_in_scientific_notation_are_floats(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-4\nb: 1.0e-12\nc: 12\nd: 1_000.5\ne: true\nf: '1e-4'\n", encoding="utf-8")
    assert load_yaml(path) == {"a": 1e-4, "b": 1e-12, "c": 12, "d": 1000.5, "e": True, "f": "1e-4"}


def test_fingerprint_follows_what_is_computed_and_not_the_groups(tmp_path: Path) -> None:
    def entry(text: str) -> ModelEntry:
        return load_catalog(own(tmp_path, "BPR", text))["BPR"]

    plain = entry(GOOD).fingerprint()
    assert entry(GOOD + "# a comment\n").fingerprint() == plain
    assert entry(GOOD.replace("  trainer", "  groups: [seed]\n  trainer")).fingerprint() == plain
    assert entry(GOOD + "embedding_size: 8\n").fingerprint() != plain


def test_with_parameters_refuses_an_unknown_one() -> None:
    bpr = load_catalog()["BPR"]
    assert bpr.with_parameters({"embedding_size": 4}).parameters["embedding_size"] == 4
    assert bpr.parameters["embedding_size"] == 64
    with pytest.raises(ConfigError, match="no parameter 'embeding_size'"):
        bpr.with_parameters({"embeding_size": 4})


@pytest.mark.parametrize("asked", ["4", "{cpu: two}", "{cpu: -1}", "{cpu: true}", "{tpu: 1}", "[1, 0]", "{gpu: .nan}"])
def test_what_a_cluster_cannot_be_asked_for_is_refused(tmp_path: Path, asked: str) -> None:
    with pytest.raises(ConfigError, match=r"Pop.yaml: 'catalog.resources' is .*; expected numbers of CPUs and GPUs"):
        load_catalog(with_resources(tmp_path, asked))


@pytest.mark.parametrize(
    ("asked", "resources"),
    [("{}", {"cpu": 1, "gpu": 0}), ("{gpu: 0.5}", {"cpu": 1, "gpu": 0.5}), ("{cpu: 4, gpu: 1}", {"cpu": 4, "gpu": 1})],
)
def test_what_a_cluster_is_asked_for(tmp_path: Path, asked: str, resources: dict[str, float]) -> None:
    assert load_catalog(with_resources(tmp_path, asked))["Pop"].resources == resources


def with_resources(folder: Path, asked: str) -> Path:
    packaged = (packaged_configs() / "models" / "Pop.yaml").read_text(encoding="utf-8")
    return own(folder, "Pop", packaged.replace("catalog:\n", f"catalog:\n  resources: {asked}\n"))


def test_what_models_require_is_named_or_follows_from_what_they_read() -> None:
    catalog = load_catalog()
    assert catalog["Pop"].requires == () and catalog["EASE"].requires == ()
    assert catalog["BPR"].requires == ("known_users",)
    assert catalog["SASRec"].requires == ("times",)
    assert catalog["KGAT"].requires == ("knowledge", "known_users")
    assert catalog["YearPop"].requires == ("dates",) and catalog["CDAE"].requires == ("known_users",)


def test_a_model_without_what_it_requires_says_so() -> None:
    entry = load_catalog()["FDSA"]
    assert entry.without(["genres"]).needs == ""
    lacking = entry.without(["times", "features"]).needs
    assert lacking.startswith("the order of each user's rows") and "features of the movies" in lacking


def test_an_unknown_requirement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    text = (
        "catalog: {family: general, source: ours, trainer: closed_form, batches: none, history: rows, requires: [luck]}"
    )
    (tmp_path / "models" / "Lucky.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError, match="'catalog.requires' has 'luck'; expected some of times, dates"):
        load_catalog(tmp_path)
