"""What lies on disk of a run or a search, how it is written, and how it is read back."""
