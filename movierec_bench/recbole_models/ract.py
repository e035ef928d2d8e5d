"""RaCT as RecBole has it, with the noise of the paper."""

from __future__ import annotations

from recbole.model.general_recommender.ract import RaCT

from movierec_bench.models.parts.gaussian_latent import GaussianLatent


class NoisyRaCT(GaussianLatent, RaCT):
    """RecBole's RaCT, whose actor draws its latent vectors with the ``noise`` that the YAML says.

    Source:
        Lobel et al., ICLR 2020.
    """
