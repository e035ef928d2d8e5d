"""The layout of the folder that `eda` makes of a data set's pictures, beside the runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from movierec_bench.data.json_text import parse_json
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder


@dataclass(frozen=True)
class PicturesFolder:
    """The files of one data set's pictures, ``eda/<dataset>``."""

    path: Path

    @classmethod
    def beside(cls, run: RunFolder, dataset: str) -> PicturesFolder:
        """Where `eda` and `run`, both told nothing else in one working directory, put what they make of ``dataset``."""
        return cls(run.path.resolve().parent.parent / "eda" / dataset)

    @property
    def page(self) -> Path:
        """The page, which needs none of the other files."""
        return self.path / "index.html"

    @property
    def manifest(self) -> Path:
        """What the pictures are of; its presence tells a folder of `eda` from any other."""
        return self.path / "manifest.json"

    def png(self, picture: str) -> Path:
        """A picture as an image."""
        return self.path / f"{picture}.png"

    def csv(self, picture: str) -> Path:
        """A picture's numbers."""
        return self.path / f"{picture}.csv"

    def write_manifest(self, dataset: str, data_hash: str, pictures: list[str]) -> None:
        """Store what the pictures are of."""
        content = {"dataset": dataset, "data_hash": data_hash, "pictures": pictures}
        write_text(self.manifest, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def is_of(self, data_hash: str) -> bool:
        """Whether there are pictures here, and of just these data."""
        try:
            content = parse_json(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or not what `eda` wrote
            return False
        return isinstance(content, dict) and content.get("data_hash") == data_hash

    def files(self) -> list[Path]:
        """Every file that is there, by name."""
        return sorted(path for path in self.path.iterdir() if path.is_file() and not path.name.startswith("."))
