"""Who runs what, where: the benchmark, the processes of its models, and Ray clusters.

`run` is the benchmark, `jobs` what of it is due, and `model_process` one model through the whole line. Whatever a model
does in its process leaves the others, and the folder's earlier results, as they were.
"""
