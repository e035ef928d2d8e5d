"""``recbole_configs/*.yaml`` as checked records: the catalogue of models and the evaluation protocol."""
