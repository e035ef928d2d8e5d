"""Rows and a catalogue entry in, a fitted model out.

`trainer` is the loop, `building` makes the model and its data set, `schemes` train one epoch each in their way. What
is fitted on is what the caller gives; no row is read from disk.
"""
