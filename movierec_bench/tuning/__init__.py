"""The search for a model's parameters on the validation rows."""
