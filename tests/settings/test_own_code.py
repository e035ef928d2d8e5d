"""Models of a user's own: their files are read, carried along, imported from memory, and part of the fingerprint."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import movierec_bench
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.config import load_model_class
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.settings.entry_record import entry_of, record_of
from movierec_bench.settings.yaml_files import load_yaml, packaged_configs

YAML = "catalog: {family: rule, source: ours, trainer: closed_form, batches: none, history: rows}\n"
YAML += "weight: 1  # float > 0\n"
CODE = '''
from movierec_bench.models import HistoryModel

from .shared import NUMBER


class Mine(HistoryModel):
    """A model of a test's own."""

    number = NUMBER
'''


def own_folder(folder: Path, yaml: str = YAML, code: str = CODE) -> Path:
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "Mine.yaml").write_text(yaml)
    (models / "Mine.py").write_text(code)
    (models / "shared.py").write_text("NUMBER = 3\n")
    return folder


def mine(folder: Path) -> ModelEntry:
    return load_catalog(folder)["Mine"]


def test_the_code_travels_with_the_entry_to_where_the_folder_is_not(tmp_path: Path) -> None:
    carried = pickle.dumps(mine(own_folder(tmp_path / "own")))
    shutil.rmtree(tmp_path / "own")
    script = (
        "import pickle, sys, inspect\n"
        "entry = pickle.loads(sys.stdin.buffer.read())\n"
        "from movierec_bench.recbole_backend.config import load_model_class\n"
        "found = load_model_class(entry)\n"
        "print(found.__name__, found.number, inspect.getsource(found).startswith('class Mine'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=carried, capture_output=True, cwd=tmp_path, check=False)
    assert done.stdout.split() == [b"Mine", b"3", b"True"], done.stderr.decode()


def test_the_fingerprint_holds_the_text_of_the_module_and_of_those_it_imports(tmp_path: Path) -> None:
    first = mine(own_folder(tmp_path)).fingerprint()
    assert mine(own_folder(tmp_path)).fingerprint() == first
    (tmp_path / "models" / "unused.py").write_text("raise RuntimeError\n")
    assert mine(tmp_path).fingerprint() == first
    (tmp_path / "models" / "shared.py").write_text("NUMBER = 4\n")
    assert mine(tmp_path).fingerprint() != first
    assert load_model_class(mine(tmp_path)).number == 4, "no module of the earlier text is taken for it"
    assert mine(own_folder(tmp_path, code=CODE + "# changed\n")).fingerprint() != first


def test_the_working_directorys_folder_is_read_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder(tmp_path / "recbole_configs")
    monkeypatch.chdir(tmp_path)
    assert load_model_class(load_catalog()["Mine"]).number == 3


def test_a_class_of_an_installed_package_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shop_models"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rules.py").write_text(CODE.replace("from .shared import NUMBER", "NUMBER = 5"))
    block = YAML.replace("source: ours", "source: ours, class: 'shop_models.rules:Mine'")
    own = own_folder(tmp_path / "own", yaml=block)
    with pytest.raises(ConfigError, match=r"Mine.py stands beside a YAML that takes its class from elsewhere"):
        load_catalog(own)
    (own / "models" / "Mine.py").unlink()
    with pytest.raises(ConfigError, match="expected the package 'shop_models' to be installed on every machine"):
        load_model_class(mine(own))
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = mine(own)
    assert load_model_class(entry).number == 5
    before = entry.fingerprint()
    (package / "rules.py").write_text((package / "rules.py").read_text() + "# changed\n")
    assert entry.fingerprint() != before


@pytest.mark.parametrize(
    ("yaml", "code", "message"),
    [
        (YAML, "class Mine(:\n", r"Mine.py line 1: invalid syntax; correct it"),
        (YAML.replace("ours", "recbole"), CODE, "stands beside a YAML that takes its class from elsewhere"),
        (YAML.replace("ours", "ours, class: 'os:system'"), CODE, "stands beside a YAML that takes its class"),
    ],
)
def test_what_cannot_be_is_refused_when_the_catalogue_is_read(
    tmp_path: Path, yaml: str, code: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_catalog(own_folder(tmp_path, yaml, code))


@pytest.mark.parametrize(
    ("yaml", "code", "message"),
    [
        (
            YAML.replace("ours", "ours, class: Yours"),
            CODE,
            "no model class 'Yours'; expected a class that derives from",
        ),
        (YAML.replace("ours", "ours, class: NUMBER"), CODE, "no model class 'NUMBER'"),
        (
            YAML.replace("ours", "ours, class: KD_DAGFM"),
            "from recbole.model.context_aware_recommender.kd_dagfm import KD_DAGFM\n",
            "KD_DAGFM is RecBole's own; expected 'source: recbole'",
        ),
    ],
)
def test_a_class_that_is_no_model_is_refused(tmp_path: Path, yaml: str, code: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model_class(mine(own_folder(tmp_path, yaml, code)))


def test_os_system_is_no_model(tmp_path: Path) -> None:
    own_folder(tmp_path, YAML.replace("ours", "ours, class: 'os:system'"))
    (tmp_path / "models" / "Mine.py").unlink()
    with pytest.raises(ConfigError, match="os has no model class 'system'"):
        load_model_class(mine(tmp_path))


def test_the_declaration_of_a_model_of_ones_own_is_its_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Mine.yaml line 2: Mine: weight is -1; expected a number > 0"):
        load_catalog(own_folder(tmp_path, YAML.replace("weight: 1", "weight: -1")))


def test_a_variant_of_a_model_of_ones_own_has_its_code(tmp_path: Path) -> None:
    own_folder(tmp_path)
    (tmp_path / "models" / "Heavy.yaml").write_text("base: Mine\nweight: 9.0\n")
    heavy = load_catalog(tmp_path)["Heavy"]
    assert load_model_class(heavy).number == 3 and heavy.parameters["weight"] == 9.0


def test_a_kept_model_of_ones_own_takes_its_class_from_the_configurations_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder(tmp_path / "recbole_configs")
    monkeypatch.chdir(tmp_path)
    record = record_of(load_catalog()["Mine"])
    assert "NUMBER" not in str(record), "no code is stored"
    assert load_model_class(entry_of(record, tmp_path / "model.json")).number == 3
    (tmp_path / "recbole_configs" / "models" / "shared.py").write_text("NUMBER = 4\n")
    with pytest.raises(ConfigError, match="the class of Mine is none of this library's, and no model here has it"):
        entry_of(record, tmp_path / "model.json")


# -- which file belongs to which -----------------------------------------------------------------


def test_every_file_of_models_has_its_yaml_and_no_part_has() -> None:
    package = Path(movierec_bench.__file__).parent
    found = {}
    for path in (packaged_configs() / "models").glob("*.yaml"):
        block = load_yaml(path).get("catalog", {})
        found.setdefault(block.get("source"), set()).add(path.stem.lower())
    files = {
        source: {path.stem for path in (package / folder).glob("*.py") if path.stem != "__init__"}
        for source, folder in (("ours", "models"), ("adapted", "recbole_models"))
    }
    assert files == {"ours": found["ours"], "adapted": found["adapted"]}
    parts = {path.stem for path in (package / "models" / "parts").glob("*.py")}
    assert parts & {name for names in found.values() for name in names} == set()


def test_a_file_of_models_replaces_no_model_of_recboles_by_being_there() -> None:
    entry = replace(load_catalog()["BPR"], name="EASE")
    assert load_model_class(entry).__module__ == "recbole.model.general_recommender.bpr"
    assert load_model_class(load_catalog()["RecBoleSASRec"]).__module__.startswith("recbole.")
