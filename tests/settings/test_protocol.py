"""The protocol: which settings count, and that results of before are recognised where they mean the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from movierec_bench.errors import ConfigError
from movierec_bench.settings.protocol import PROTOCOLS, TRAIN, Protocol, load_protocol, protocol_of
from movierec_bench.settings.yaml_files import packaged_configs


def of_before(rules: Protocol) -> str:
    """The hash as it was before test_fit, written out again."""
    record = dataclasses.asdict(rules)
    del record["test_fit"]
    if rules.name != "users":
        del record["shown_share"]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_setting_that_another_protocol_reads_does_not_count(name: str) -> None:
    rules = protocol_of(None, name)
    changed = {key: dataclasses.replace(rules, **{key: value}).hash for key, value in OTHERS.items()}
    assert {key for key, found in changed.items() if found != rules.hash} == READ[name] | {"test_fit"}


OTHERS = {
    "seed": 1,
    "min_rows": 6,
    "held_out_share": 0.2,
    "held_out_min": 2,
    "held_out_max": 11,
    "last_share": 0.4,
    "ratio_valid": 0.2,
    "ratio_test": 0.2,
    "shown_share": 0.7,
    "test_fit": TRAIN,
}
COUNTED = {"min_rows", "held_out_share", "held_out_min", "held_out_max"}
READ = {
    "competition": {"seed", "last_share", *COUNTED},
    "random": {"seed", *COUNTED},
    "last": COUNTED,
    "ratio": {"min_rows", "ratio_valid", "ratio_test"},
    "halves": {"min_rows"},
    "time": {"ratio_valid", "ratio_test"},
    "users": {"seed", "min_rows", "ratio_valid", "ratio_test", "shown_share"},
    "given": {"seed", "last_share", *COUNTED},
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_hash_of_before_is_known_where_results_are_the_same(name: str) -> None:
    rules = protocol_of(None, name)
    assert rules.hash_of_before == "", "the test's fit saw other rows then"
    alike = dataclasses.replace(rules, test_fit=TRAIN)
    assert alike.hash_of_before == of_before(alike)


def test_an_unknown_fit_is_refused(tmp_path: Path) -> None:
    text = (packaged_configs() / "protocol.yaml").read_text()
    (tmp_path / "protocol.yaml").write_text(text.replace("test_fit: train_and_valid", "test_fit: everything"))
    with pytest.raises(ConfigError, match="test_fit is 'everything'; expected one of train, train_and_valid"):
        load_protocol(tmp_path / "protocol.yaml")
