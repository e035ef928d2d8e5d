"""Stored rankings of several models to one: rules, weights, and the search for both.

A recipe is chosen on validation rows alone, and written before a test row is read; nothing is trained but a stack.
"""
