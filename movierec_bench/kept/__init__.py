"""A trained model to a folder of arrays and JSON, and back to one that recommends; nothing in it is ever executed.

`model_folder` writes and reads the folder, `recommending` is what a user calls, `served` what MLflow's server does.
"""
