"""Without RecBole every command that needs it says the one line that brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from movierec_bench.settings.recbole_package import recbole_folder

HIDDEN = "import sys; sys.modules['recbole'] = None; "


def test_it_is_the_folder_with_recboles_settings() -> None:
    assert (recbole_folder() / "properties" / "overall.yaml").is_file()


@pytest.mark.parametrize("command", ["convert", "run", "tune --models BPR"])
def test_a_command_without_recbole_prints_the_line_that_brings_it(command: str, tmp_path: Path) -> None:
    code = HIDDEN + f"sys.argv = ['movierec_bench', *{command.split()!r}]; from movierec_bench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "run `pip install --no-deps recbole==1.2.1`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_ones_own_without_recbole_says_it_too() -> None:
    code = HIDDEN + "import movierec_bench.models"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigError: RecBole is not installed" in done.stderr
