"""What tests share: planted data, files of a competition, runs of mixes, MLflow stores."""
