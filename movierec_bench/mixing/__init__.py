"""Stored rankings of several models to one: rules, weights, and the search for both."""
