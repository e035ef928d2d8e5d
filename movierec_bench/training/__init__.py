"""Rows and a catalogue entry in, a fitted model out."""
