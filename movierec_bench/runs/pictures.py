"""The layout of the folder that `eda` makes of a data set's pictures, beside the runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from movierec_bench.data.json_text import parse_json
from movierec_bench.data.replacing import strangers
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
        """What the pictures are of. Runs and converted data have a file of that name, too."""
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
        content = self._content()
        return content is not None and content.get("data_hash") == data_hash

    def is_ours(self) -> bool:
        """Whether the folder is one that `eda` made."""
        return self._content() is not None

    def strangers(self) -> list[str]:
        """Names of what is there and `eda` has not made, sorted."""
        content = self._content() or {"pictures": []}
        names = [name for name in content["pictures"] if isinstance(name, str)]
        made = (self.page, self.manifest, *map(self.png, names), *map(self.csv, names))
        return strangers(self.path, [path.name for path in made])

    def _content(self) -> Optional[dict[str, Any]]:
        """What `write_manifest` wrote; None where there is nothing or something else."""
        try:
            content = parse_json(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or not what `eda` wrote
            return None
        return content if isinstance(content, dict) and isinstance(content.get("pictures"), list) else None

    def files(self) -> list[Path]:
        """Every file that is there, by name."""
        return sorted(path for path in self.path.iterdir() if path.is_file() and not path.name.startswith("."))
