"""Breaks the library on purpose, and checks that nothing is lost and nothing is false afterwards.

``python -m faults`` (or ``make faults``) runs commands of the library in a throw-away folder. In each of them something
goes wrong at one known place: a process dies, a disk is full, a signal arrives, the power fails. Then the same command
is given once more, and everything on disk is compared with what undisturbed commands leave. Nothing in the library
knows of this package.
"""
