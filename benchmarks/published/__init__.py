"""Published tables, repeated with this library's own commands."""
