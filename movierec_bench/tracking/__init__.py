"""Sends what lies in a run folder to MLflow, in a process of its own, once only."""
