"""JSON that a stranger may have written."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str) -> Any:
    """What ``text`` says.

    Raises:
        ValueError: it is no JSON (a JSONDecodeError), is nested too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise
        raise ValueError("it holds a number of thousands of digits") from error
