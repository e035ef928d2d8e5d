"""Top-K lists and held-out rows in, numbers out: metrics, intervals, tests. Knows no model."""
