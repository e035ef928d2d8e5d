"""Every command and every piece of code in the README and the documentation does what the page says it does.

Each page is worked through from top to bottom in a folder of its own, which begins with ml-100k converted and its fast
models run, so that a page's own `run --models fast` finds them finished and takes seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.command_check import ROOT, check_command, check_options, commands_of
from support.markdown_blocks import Block, blocks_of, inline_code_of

pytestmark = pytest.mark.xdist_group("docs")  # one process, so that the fast models are trained once

_BENCHMARKS = [ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "published" / "README.md"]
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md"), *_BENCHMARKS])
# They install, test or measure this very checkout, or set up an environment: checked, not run.
_OF_THE_CHECKOUT = ("make ", "pip ", "python -m benchmarks", "python -m venv ", "source .venv/")
_PAGE_SECONDS = 600

KOREAN = [page for page in PAGES if page.name.endswith(".ko.md")]  # the same blocks as the English page, which is run

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ml-100k converted, and the models of the group fast run."""
    folder = tmp_path_factory.mktemp("begun")
    _sh("python -m movierec_bench convert\npython -m movierec_bench run --models fast --quiet", folder)
    return folder


@every_page
def test_commands_are_known_to_their_programs(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{page.name} line {block.line}"
        if block.language == "bash":
            for words in commands_of(block.text):
                try:
                    check_command(words)
                except Exception as error:
                    raise AssertionError(f"{where}: {' '.join(words)}: {error}") from error
        elif block.language == "python":
            compile(block.text, where, "exec")
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        else:
            begins = re.search(r"^\W*python -m movierec_bench", block.text, re.MULTILINE)
            assert begins is None, f"{where}: a block with commands begins with ```bash"
    for code in inline_code_of(page):
        if code.startswith("python -m movierec_bench"):
            check_options(code)


@pytest.mark.parametrize("page", KOREAN, ids=lambda page: page.name)
def test_korean_pages_have_the_blocks_of_the_english_ones(page: Path) -> None:
    english = page.with_name(page.name.replace(".ko.md", ".md"))
    assert [_code(block) for block in blocks_of(page)] == [
        _code(block) for block in blocks_of(english) if block.language
    ]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in KOREAN], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_blocks_run(page: Path, begun: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    if not any(_is_run(block) for block in blocks):
        return
    folder = tmp_path / "page"
    shutil.copytree(begun, folder)
    for block, following in zip(blocks, [*blocks[1:], None]):
        where = f"{page.name} line {block.line}"
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.fails:
            assert following is not None and following.language == "text", f"{where}: the message has to follow"
            done = _sh(block.text, folder, where, expected=2)
            assert following.text.strip() in done.stdout + done.stderr, f"{where}: {done.stdout}{done.stderr}"
        elif _is_run(block) and block.language == "bash":
            _sh(_runnable(block.text), folder, where)
        elif _is_run(block):
            (folder / "block.py").write_text(block.text, encoding="utf-8")
            _sh("python block.py", folder, where)


def _code(block: Block) -> tuple[str, list[str]]:
    """Return a block's language and its lines without comments."""
    return block.language, [re.sub(r"\s+# .*", "", line) for line in block.text.splitlines()]


def _is_run(block: Block) -> bool:
    if block.unrun or block.file or block.language not in ("bash", "python"):
        return False
    return block.language == "python" or bool(_runnable(block.text).strip())


def _runnable(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if not line.startswith(_OF_THE_CHECKOUT))


def _sh(script: str, folder: Path, where: str = "preparation", expected: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PAGE_SECONDS,
        check=False,
    )
    assert done.returncode == expected, f"{where}: {script}\n{done.stdout}\n{done.stderr}"
    return done
