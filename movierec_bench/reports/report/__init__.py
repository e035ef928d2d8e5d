"""The report of a run as one page: what it reads, what it counts, and a module a chapter."""
