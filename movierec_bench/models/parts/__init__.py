"""What several models of ours share. Nothing here is a model of the catalogue."""
