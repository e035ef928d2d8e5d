"""The search for a model's parameters on the validation rows.

`space` reads what is searched, `tune` is the search, `best_yaml` writes what it found. Test rows are never read.
"""
