"""What the process that uploads and the one that started it have to agree on."""

from __future__ import annotations

ANSWER = "movierec_bench-answer "  # begins a line that is one; others come from whatever a site has Python print
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")  # MLflow's own
