"""Sends what lies in a run folder to MLflow, in a process of its own, once only.

`tracker` starts that process beside a benchmark, and `upload` is what it does. Of the folder only the
manifest is ever changed, which is given an id; no store that fails costs a result.
"""
