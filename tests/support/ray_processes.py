"""A model of a test's own in every process that computes, on a Ray cluster too."""

from __future__ import annotations

from pathlib import Path


def write_sitecustomize(folder: Path) -> None:
    """Let every Python that finds ``folder`` on its path look for models there, but for Ray's own services.

    Those would import torch for nothing, and a node of Ray that is not up after half a minute counts as failed.
    """
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "scripts = [word for word in sys.orig_argv if f'{os.sep}ray{os.sep}' in word and word.endswith('.py')]\n"
        "if all(script.endswith('default_worker.py') for script in scripts):\n"
        "    import movierec_bench.models\n"
        f"    movierec_bench.models.__path__.append({str(folder)!r})\n"
    )
