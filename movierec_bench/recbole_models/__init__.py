"""RecBole's own models where they need a change to run, to rank or to be quick: a file a model.

Each keeps RecBole's parameters, and its scores unless its docstring says what is different.
"""
