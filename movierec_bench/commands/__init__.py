"""The command line, one command a file: each calls the Python function of its name and prints what comes back.

A command's flags, their defaults and their help are those of the function, so they are written once.
"""
