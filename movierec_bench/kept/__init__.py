"""A trained model to a folder of arrays and JSON, and back to one that recommends; nothing in it is ever executed."""
