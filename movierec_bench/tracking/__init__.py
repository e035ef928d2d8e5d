"""Sends what lies in a run folder to MLflow, in a process of its own, once only.

`tracker` starts that process beside a benchmark, and `upload` is what it does. The folder is read and never changed,
and no store that fails costs a result.
"""
