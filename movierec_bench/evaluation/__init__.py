"""Top-K lists and held-out rows in, numbers out: metrics, intervals, tests. Knows no model.

`metrics` scores users; `statistics` has intervals and the p-value of two models' difference; `confidence_set` has the
board's p-value, of being among the best of all.
"""
