"""The evaluation protocol: every setting of protocol.yaml."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.schema import PathLike
from movierec_bench.settings.yaml_files import ConfigFolders, read_yaml

_CLIPPED = ("min_rows", "held_out_share", "held_out_min", "held_out_max")
# The protocols, and which settings each reads; all read test_fit.
_READS: dict[str, tuple[str, ...]] = {
    "competition": ("seed", *_CLIPPED, "last_share"),
    "random": ("seed", *_CLIPPED),
    "last": _CLIPPED,
    "ratio": ("min_rows", "ratio_valid", "ratio_test"),
    "halves": ("min_rows",),
    "time": ("ratio_valid", "ratio_test"),
    "users": ("seed", "min_rows", "ratio_valid", "ratio_test", "shown_share"),
    "given": ("seed", *_CLIPPED, "last_share"),
}
PROTOCOLS = tuple(_READS)
TRAIN, TRAIN_AND_VALID = "train", "train_and_valid"
TEST_FITS = (TRAIN, TRAIN_AND_VALID)


@dataclass(frozen=True)
class Protocol:
    """What is held out; one attribute for each key of ``protocol.yaml``, where the defaults and units stand.

    Args:
        name: One of ``PROTOCOLS``.
        seed: Seed of the draw.
        min_rows: A user with fewer rows holds out none.
        held_out_share: Share of a user's rows that is held out (competition, random, last).
        held_out_min: Fewest rows held out of a user (competition, random, last).
        held_out_max: Most rows held out of a user (competition, random, last).
        last_share: Share of a user's held-out rows that are the last ones, rounded up (competition).
        ratio_valid: Share of a user's rows that validates (ratio); of all rows (time); of the users (users).
        ratio_test: Share of a user's rows that tests (ratio); of all rows (time); of the users (users).
        shown_share: Share of a held-out user's rows that is shown at ranking time (users).
        test_fit: The rows of the fit that ranks for the test: one of ``TEST_FITS``.

    Raises:
        ConfigError: A value has the wrong type or lies outside its range.
    """

    name: str
    seed: int
    min_rows: int
    held_out_share: float
    held_out_min: int
    held_out_max: int
    last_share: float
    ratio_valid: float
    ratio_test: float
    shown_share: float = 0.8
    test_fit: str = TRAIN_AND_VALID

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise ConfigError(f"name is {self.name!r}; expected one of {', '.join(PROTOCOLS)}")
        if self.test_fit not in TEST_FITS:
            raise ConfigError(f"test_fit is {self.test_fit!r}; expected one of {', '.join(TEST_FITS)}")
        for key in ("seed", "min_rows", "held_out_min", "held_out_max"):
            self._require_integer(key, lowest=0 if key == "seed" else 1)
        for key in ("held_out_share", "ratio_valid", "ratio_test", "shown_share"):
            self._require_share(key, open_ended=True)
        self._require_share("last_share", open_ended=False)
        if self.held_out_max < self.held_out_min:
            raise ConfigError(
                f"held_out_max is {self.held_out_max}; expected at least held_out_min, {self.held_out_min}"
            )
        if self.ratio_valid + self.ratio_test >= 1:
            raise ConfigError(
                f"ratio_valid + ratio_test is {self.ratio_valid + self.ratio_test}; "
                "expected less than 1, so that rows remain to train on"
            )

    @property
    def is_drawn(self) -> bool:
        """Whether another seed holds out other rows."""
        return "seed" in _READS[self.name]

    @property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the settings that this protocol reads."""
        return self._hash_of(("name", *_READS[self.name], "test_fit"))

    @property
    def hash_of_before(self) -> str:
        """The hash of the same split in versions without ``test_fit``; empty where results differ from theirs.

        Those versions hashed the settings of the other protocols, too, all but ``shown_share``.
        """
        if self.test_fit != TRAIN:
            return ""
        others = ("test_fit",) if self.name == "users" else ("test_fit", "shown_share")
        return self._hash_of([field.name for field in dataclasses.fields(self) if field.name not in others])

    def _hash_of(self, keys: Iterable[str]) -> str:
        settings = json.dumps({key: getattr(self, key) for key in keys}, sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    def _require_integer(self, key: str, lowest: int) -> None:
        value = getattr(self, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ConfigError(f"{key} is {value!r}; expected an integer of at least {lowest}")

    def _require_share(self, key: str, open_ended: bool) -> None:
        value = getattr(self, key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (0 < value < 1 if open_ended else 0 <= value <= 1):
            limits = "between 0 and 1, both excluded" if open_ended else "from 0 to 1"
            raise ConfigError(f"{key} is {value!r}; expected a number {limits}")
        object.__setattr__(self, key, float(value))  # 1 and 1.0 are one setting and must have one hash


def load_protocol(path: Path) -> Protocol:
    """The protocol written in a YAML file.

    Args:
        path: A file like ``recbole_configs/protocol.yaml``; every key must be there.

    Raises:
        ConfigError: The file is missing or no mapping; a key is unknown, missing or has a bad value.
    """
    file = read_yaml(path)
    settings = file.content
    allowed = [field.name for field in dataclasses.fields(Protocol)]
    for key in settings:
        if key not in allowed:
            hint = did_you_mean(key, allowed) or f"expected some of {', '.join(allowed)}"
            raise ConfigError(f"{file.at(key)}: unknown key {key!r}; {hint}")
    missing = [key for key in allowed if key not in settings]
    if missing:
        raise ConfigError(f"{path}: missing {', '.join(missing)}; expected every one of {', '.join(allowed)}")
    try:
        return Protocol(**settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def protocol_of(configs: Optional[PathLike], name: Optional[str]) -> Protocol:
    """The protocol of protocol.yaml, under another ``name`` where one is given. Raises ConfigError for a wrong one."""
    rules = load_protocol(ConfigFolders(configs).file("protocol.yaml"))
    return rules if name is None else dataclasses.replace(rules, name=name)
