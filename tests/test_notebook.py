"""A real Jupyter kernel: progress, the log, results as HTML, an interrupt, and on from there."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any, Optional

import nbformat
import pytest
from nbclient import NotebookClient
from rich.table import Table
from rich.text import Text

from movierec_bench.notebook import in_notebook, table_html, text_html

pytestmark = pytest.mark.xdist_group("notebooks")

CELLS = {
    "convert": "import movierec_bench as mb\nmb.convert()",
    "run": "board = mb.run(models='EASE,Pop')\nboard",
    "plot": "board.plot()",
    "quiet": "mb.run(models='ItemKNN', quiet=True)",
    "interrupted": "mb.run(models='EASE,Endless', configs='configs')",
    "left": "import psutil\nsum(len(child.children()) for child in psutil.Process().children())",
    "again": "mb.run(models='EASE,PureSVD')",
    "mix": "mb.ensemble('runs/ml-100k')",
    "segments": "mb.leaderboard('runs/ml-100k', by='length')",
    "log": "import logging\nlogging.getLogger('movierec_bench').handlers, logging.getLogger().handlers",
}
ENDLESS = (
    "catalog: {family: general, source: recbole, class: BPR, trainer: epochs, batches: interactions, history: none}\n"
    "epochs: 1000000\n"
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nbformat.NotebookNode]:
    """The cells above after they ran; the one that is interrupted had trained an epoch by then."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "configs" / "models").mkdir(parents=True)
    (folder / "configs" / "models" / "Endless.yaml").write_text(ENDLESS, encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    log = folder / "runs" / "ml-100k" / "models" / ".Endless.new" / "log.txt"

    def interrupt(cell: Any, cell_index: int) -> None:
        if list(CELLS)[cell_index] == "interrupted":
            threading.Thread(target=_interrupt_once, args=(client, log), daemon=True).start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOVIEREC_BENCH_TRACK", "0")
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            allow_errors=True,
            on_cell_start=interrupt,
        )
        client.execute()
    return dict(zip(CELLS, notebook.cells))


def _interrupt_once(client: NotebookClient, trains: Path) -> None:
    """What the stop button does, when the model of ``trains`` has a log."""
    while not trains.exists():
        threading.Event().wait(0.2)
    threading.Event().wait(2)
    os.kill(client.km.provisioner.process.pid, signal.SIGINT)


def shown(cell: nbformat.NotebookNode, kind: str = "text/html") -> list[str]:
    """The cell's outputs of that kind."""
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


def error_of(cell: nbformat.NotebookNode) -> Optional[str]:
    return next((output["ename"] for output in cell.outputs if output.output_type == "error"), None)


def test_no_cell_but_the_interrupted_one_ends_with_an_error(cells: dict[str, nbformat.NotebookNode]) -> None:
    found = {name: error_of(cell) for name, cell in cells.items()}
    assert found == {**dict.fromkeys(CELLS), "interrupted": "KeyboardInterrupt"}


def test_progress_is_shown_as_on_a_terminal(cells: dict[str, nbformat.NotebookNode]) -> None:
    bars = re.sub("<[^>]*>", "", shown(cells["run"])[0])
    assert "EASE: done, recall@10 0.2" in bars
    assert "all models" in bars and "2/2" in bars
    assert "Endless" in shown(cells["interrupted"])[0]


def test_a_quiet_cell_shows_its_result_only(cells: dict[str, nbformat.NotebookNode]) -> None:
    assert [output.output_type for output in cells["quiet"].outputs] == ["execute_result"]


def test_results_are_tables(cells: dict[str, nbformat.NotebookNode]) -> None:
    board = shown(cells["run"])[-1]
    assert board.count("<tr>") == 3
    assert "<b>Leaderboard: ml-100k</b>" in board and ">EASE</td>" in board
    assert ">ItemKNN</td>" in shown(cells["segments"])[-1]
    assert "the best single model" in shown(cells["mix"])[-1]


def test_the_board_is_drawn_with_its_intervals(cells: dict[str, nbformat.NotebookNode]) -> None:
    chart = shown(cells["plot"])[-1]
    for part in ('"x2"', "ci_low", "ci_high", '"rule"', '"point"', "EASE"):
        assert part in chart


def test_what_is_logged_is_printed_once(cells: dict[str, nbformat.NotebookNode]) -> None:
    lines = printed(cells["mix"]).splitlines()
    assert sum("rrf" in line for line in lines) == len({line for line in lines if "rrf" in line}) > 0
    assert "StreamHandler" in shown(cells["log"], "text/plain")[0]


def test_an_interrupt_ends_the_models_and_the_next_run_goes_on(cells: dict[str, nbformat.NotebookNode]) -> None:
    assert shown(cells["left"], "text/plain") == ["0"], "the process that starts models has none left"
    board = shown(cells["again"])[-1]
    assert ">PureSVD</td>" in board
    assert "Endless: no status.json" in board


# -- without a kernel ---------------------------------------------------------------------------


def test_a_test_is_no_notebook() -> None:
    assert not in_notebook()


def test_a_table_becomes_an_html_table() -> None:
    table = Table(title="[b]Board[/b]", caption=Text("EASE: <odd>\nBPR: [1]"))
    table.add_column("model")
    table.add_column("recall", justify="right")
    table.add_row(Text("A<B"), "[bold]0.5[/bold]")
    assert re.sub(' style="[^"]*"', "", table_html(table)) == (
        "<p><b>Board</b></p><table><thead><tr><th>model</th><th>recall</th></tr></thead>"
        "<tbody><tr><td>A&lt;B</td><td>0.5</td></tr></tbody></table><p>EASE: &lt;odd&gt;\nBPR: [1]</p>"
    )
    assert 'text-align: right; white-space: pre-line">0.5' in table_html(table)


def test_text_keeps_its_lines() -> None:
    assert re.sub(' style="[^"]*"', "", text_html("a < b\nc")) == "<p>a &lt; b\nc</p>"
