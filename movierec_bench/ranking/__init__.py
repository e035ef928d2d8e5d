"""Scores in, masked top-K out. The only place that masks, breaks ties and drops candidates."""
