"""What `make docs` makes besides the written pages of `docs/`: a page a model, the commands, the Python interface."""
