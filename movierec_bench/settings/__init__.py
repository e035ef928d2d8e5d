"""``recbole_configs/*.yaml`` as checked records: the catalogue of models and the evaluation protocol.

Whatever is wrong in a file is refused here, with file, line, what was found and what was expected.
"""
