"""How a variational autoencoder draws its latent vectors while it learns."""

from __future__ import annotations

import torch

from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class GaussianLatent:
    """Draws from the encoder's normal distribution, ``mean + noise exp(log_variance / 2) e`` with e standard normal.

    Mixed in before a RecBole model. RecBole draws with a ``noise`` of 0.01, so that its models are hardly variational;
    the papers' is 1. In ranking a latent vector is its mean.

    Source:
        Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, section 2.4.
    """

    training: bool  # torch's

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)  # type: ignore[call-arg]  # the model's own, at run time
        self.noise = config["noise"]

    def reparameterize(self, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
        """Float32 [B, f] from the means and the logarithms of the variances, likewise."""
        if not self.training:
            return mean
        return mean + self.noise * torch.randn_like(mean) * (0.5 * log_variance).exp()
