"""Scores in, masked top-K out. The only place that masks, breaks ties and drops candidates.

`top_k` is the way in for every model; `heap_kernels` holds the compiled loop that masks what a user has seen.
"""
