"""Environment variables are put back, whatever a block does to them."""

from __future__ import annotations

import os

import pytest

from movierec_bench.environment import restored_environment


def test_variables_are_what_they_were_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "before")
    monkeypatch.setenv("GONE", "before")
    monkeypatch.delenv("NEW", raising=False)
    with pytest.raises(RuntimeError), restored_environment("THERE", "GONE", "NEW"):
        os.environ.update(THERE="changed", NEW="made")
        del os.environ["GONE"]
        raise RuntimeError
    assert (os.environ["THERE"], os.environ["GONE"], "NEW" in os.environ) == ("before", "before", False)
