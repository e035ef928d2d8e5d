"""``models``, ``--version`` and completion, as a shell uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import movierec_bench
from movierec_bench.commands.models import models
from movierec_bench.errors import ConfigError
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.published import WHERE, published_scores


def printed(renderable: object) -> str:
    console = Console(width=400, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_table_says_in_a_line_what_each_model_is() -> None:
    lines = rows(printed(models()))
    assert len(lines) == 1 + len(load_catalog())
    assert "EASE general ours fast closed_form ready A linear autoencoder with a closed-form solution" in lines


def test_a_model_is_shown_with_all_that_is_known_of_it() -> None:
    text = printed(models("EASE"))
    lines = rows(text)
    assert lines[0] == "EASE"
    for part in ("movierec_bench.models.ease:FastEASE", "published .1600 (t3-16", WHERE["cohort"], WHERE["gowalla"]):
        assert any(part in line for line in lines), part
    assert "reg_weight 500.0 float > 0 added to the Gram diagonal t3-16, t5-03 50 to 5000, by its logarithm" in lines


def test_a_models_unit_and_what_it_requires_are_shown() -> None:
    lines = rows(printed(models("UserKNN")))
    assert any(line.startswith("k 50 int >= 1 users neighbours of a user t3-07") for line in lines)
    assert "requires genres" in rows(printed(models("GenreTop")))
    lines = rows(printed(models("BERT4Rec_sum")))
    assert "variant of BERT4Rec, with another inference" in lines
    assert "It has no parameters." in rows(printed(models("Pop")))


@pytest.mark.parametrize("name", list(load_catalog()))
def test_every_model_can_be_shown(name: str) -> None:
    text = printed(models(name))
    assert all(key in text for key in load_catalog()[name].parameters)
    assert "anything" not in text, "a parameter of which nothing is declared"


@pytest.mark.parametrize(
    ("name", "message"),
    [("EAES", "unknown model 'EAES'; did you mean EASE"), ("fast", "fast is a group"), ("x9", "lists them all")],
)
def test_what_is_no_model_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models(name)


def test_published_scores_are_of_models_that_are_there() -> None:
    assert set(published_scores()) <= set(load_catalog())
    assert {where for scores in published_scores().values() for where in scores} == set(WHERE)


def shell(*arguments: str, **environment: str) -> str:
    script = "import sys; sys.argv[0] = 'movierec_bench'; from movierec_bench.cli import main; main()"
    root = str(Path(movierec_bench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_is_printed() -> None:
    assert shell("--version").strip() == movierec_bench.__version__


def test_a_shell_is_told_how_a_command_goes_on() -> None:
    bash = {"_MOVIEREC_BENCH_COMPLETE": "complete_bash"}
    assert "leaderboard" in shell(**bash, COMP_WORDS="movierec_bench lea", COMP_CWORD="1").split()
    assert "--models" in shell(**bash, COMP_WORDS="movierec_bench run --mod", COMP_CWORD="2").split()
    zsh = {"_MOVIEREC_BENCH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "movierec_bench tune --sam"}
    assert "--samples" in shell(**zsh)
