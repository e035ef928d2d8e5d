"""What lies on disk of a run or a search, how it is written, and how it is read back.

`records` says what status.json and manifest.json hold, `folder` where every file lies, and `publishing` when a result
takes its place and its status is written.
"""
