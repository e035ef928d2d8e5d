"""The catalogue: discovery, groups, overriding, and messages for every kind of wrong YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from movierec_bench.errors import ConfigError
from movierec_bench.schema import FAMILIES
from movierec_bench.settings.catalog import ModelEntry, load_catalog, select
from movierec_bench.settings.yaml_files import load_yaml, packaged_configs, read_yaml

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
        if not entry.bases:
            assert {"all", entry.family} <= set(entry.groups)


def test_every_packaged_parameter_has_a_comment() -> None:
    for path in (packaged_configs() / "models").glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), f"{path.name} does not open with what the model is"
        parameters = [
            line for line in lines if line and line[0].isalpha() and line.split(":")[0] not in ("catalog", "base")
        ]
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


# -- variants -----------------------------------------------------------------------------------


def test_a_variant_is_its_base_under_another_name_but_for_what_it_sets() -> None:
    catalog = load_catalog()
    base, variant = catalog["BERT4Rec"], catalog["BERT4Rec_sum"]
    assert variant.parameters == {**base.parameters, "inference": "sum"}
    assert (variant.module, variant.class_name, variant.family, variant.trainer, variant.history, variant.requires) == (
        (base.module, base.class_name, base.family, base.trainer, base.history, base.requires)
    )
    assert variant.fingerprint() != base.fingerprint()
    assert variant.summary.startswith("BERT4Rec that ranks by the sum")


def test_a_variant_is_in_no_group_but_variants_unless_it_says_so() -> None:
    catalog = load_catalog()
    assert catalog["BERT4Rec_sum"].groups == ("variants",)
    assert catalog["GenreTop_42211"].groups == ("variants", "all", "rule")
    shipped = {"BERT4Rec_sum", "BERT4Rec_top_10_per_five", "GenreTop_42211", "S3Rec_euclidean"}
    assert {entry.name for entry in select(catalog, "variants")} >= shipped
    for group in ("fast", "seed"):
        assert not any(entry.bases for entry in select(catalog, group))


def test_a_variant_inherits_from_a_users_own_base_and_from_another_variant(tmp_path: Path) -> None:
    own(tmp_path, "BPR", GOOD + "embedding_size: 8\nlearning_rate: 0.5\n")
    own(tmp_path, "BPR_slow", "base: BPR\ncatalog: {groups: [fast], resources: {cpu: 3}}\nlearning_rate: 1e-4\n")
    catalog = load_catalog(own(tmp_path, "BPR_slower", "base: BPR_slow\nlearning_rate: 1e-5\ntrain_batch_size: 7\n"))
    slow, slower = catalog["BPR_slow"], catalog["BPR_slower"]
    assert (slow.parameters["embedding_size"], slow.parameters["learning_rate"]) == (8, 1e-4)
    assert (slower.parameters["embedding_size"], slower.parameters["learning_rate"]) == (8, 1e-5)
    assert (slow.groups, slow.resources) == (("variants", "fast"), {"cpu": 3, "gpu": 0})
    assert (slower.groups, slower.resources) == (("variants",), {"cpu": 3, "gpu": 0})
    assert {name: set(keys) for name, keys in slower.bases.items()} == {
        "BPR_slow": {"learning_rate", "train_batch_size"},
        "BPR": {"learning_rate", "train_batch_size"},
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"V": "base: Nothing\n"}, r"V.yaml line 1: base is 'Nothing', which is no model"),
        ({"V": "base: bpr\n"}, "did you mean BPR"),
        ({"V": "base: [BPR]\n"}, "base is .*, which is no model"),
        ({"V": "base: V\n"}, r"V.yaml line 1: V -> V is a circle"),
        ({"V": "base: W\n", "W": "base: X\n", "X": "base: V\n"}, "is a circle; expected another base"),
        (
            {"V": "base: BPR\nembeding_size: 3\n"},
            "line 2: unknown parameter 'embeding_size' of V; did you mean embedding",
        ),
        ({"V": "base: BPR\nembedding_size: 0\n"}, "V.yaml line 2: V: embedding_size is 0; expected an integer >= 1"),
        (
            {"V": "base: BPR\ncatalog: {family: rule}\n"},
            "changes groups, resources and matrices alone",
        ),
        ({"V": "base: BPR\ncatalog: fast\n"}, "found 'fast'; a variant of BPR changes groups"),
        ({"V": "base: BPR\ntopk: [3]\n"}, "line 2: 'topk' is the protocol's"),
    ],
)
def test_a_wrong_variant_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        own(tmp_path, name, text)
    with pytest.raises(ConfigError, match=message):
        load_catalog(tmp_path)


# -- what a YAML may not be ---------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghij", "bcdefghijk")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.encode() + b"# \xff\xfe\n", r"BPR.yaml: byte \d+ is not UTF-8 text; save the file as UTF-8"),
        (GOOD + "embedding_size: 8\nembedding_size: 9\n", "line 8: the key 'embedding_size' stands there twice"),
        (GOOD + "  family: rule\n", "the key 'family' stands there twice"),
        (GOOD + "1: 2\n", "line 7: the key '1' is not text"),
        (GOOD + "null: 2\n", "the key 'null' is not text"),
        (GOOD + "load_col: &x {inter: *x}\n", r"a value by reference \(\*name\); expected it written out"),
        (BOMB, r"line \d: a value by reference \(\*name\)"),
        (GOOD + "load_col: " + "[" * 50_000 + "\n", "BPR.yaml.*expected one 'key: value' a line"),
        (GOOD + "embedding_size: " + "9" * 5_000 + "\n", "BPR.yaml.*expected one 'key: value' a line"),
        (GOOD + "learning_rate: 2020-13-45\n", "BPR.yaml.*expected one 'key: value' a line"),
        (GOOD + "learner: !!python/object/apply:os.getcwd []\n", "BPR.yaml line 7: could not determine a constructor"),
        (GOOD + "x: " + "y" * 1_000_001, "has 1,000,.* bytes; expected a configuration of at most"),
        (GOOD + "  groups: fast\n", r"'catalog.groups' is 'fast'; expected a list of names, such as \[fast\]"),
        (GOOD + "  groups: null\n", "'catalog.groups' is None; expected a list of names"),
        (GOOD + "  groups: 3\n", "'catalog.groups' is 3; expected a list of names"),
        (GOOD + "  groups: [3]\n", r"'catalog.groups' is \[3\]; expected a list of names"),
        (GOOD + "  groups: [-fast]\n", "'catalog.groups' has '-fast'; expected names of letters"),
        (GOOD + "  requires: times\n", "'catalog.requires' is 'times'; expected a list of names"),
        (GOOD + "  needs: 3\n", "'catalog.needs' is 3; expected text"),
        (GOOD + "  scheme: [plain]\n", r"'catalog.scheme' is \['plain'\]; expected text"),
        (GOOD + "  class: __import__('os').system('ls')\n", "expected a name, or package.module:Name"),
        (GOOD + "  class: [BPR]\n", "expected a name, or package.module:Name"),
        (GOOD + "  class: recbole.model.general_recommender.bpr:BPR\n", "RecBole's own models are 'source: recbole'"),
        (GOOD.replace("family: general", "family: {a: 1}"), "'catalog.family' is .*; expected one of"),
        ("catalog: 3\n", "no 'catalog:' block"),
        ("embedding_size\n", "found a str; expected 'key: value' lines"),
    ],
)
def test_what_is_no_configuration_is_one_clear_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = own(tmp_path, "BPR", "") / "models" / "BPR.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message) as refused:
        load_catalog(tmp_path)
    assert str(path) in str(refused.value) and len(str(refused.value)) < 700


def test_a_folder_of_that_name_is_refused_and_a_macs_shadow_file_ignored(tmp_path: Path) -> None:
    (own(tmp_path, "BPR", GOOD) / "models" / "._BPR.yaml").write_bytes(b"\x00\x05\x16\x07")
    assert set(load_catalog(tmp_path)) == set(load_catalog())
    (tmp_path / "models" / "Folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="Folder.yaml is no file; expected a YAML file"):
        load_catalog(tmp_path)


def test_a_comment_is_found_wherever_its_value_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "# What\n#  it is\na: 1  # one\nb: 'x # y'  # two\nc: # three\n  d: 1  # inner\ne:   # four\n"
        "f: [1, # no\n  2]\n"
        "g: x#y # five # six\nh: null # seven\nd: {x: 1}  # eight\n"
    )
    file = read_yaml(path)
    assert file.comments == {"a": "one", "b": "two", "c": "three", "e": "four", "g": "five # six", "h": "seven"} | {
        "d": "eight"
    }
    assert file.opening == "What it is" and file.lines["g"] == 10
