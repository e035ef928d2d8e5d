"""How an epoch trains a model: one optimiser, several in turn, stages, or a whole epoch at once."""
