"""Who runs what, where: the benchmark, the processes of its models, and Ray clusters."""
