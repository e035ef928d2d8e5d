"""ConvNCF as RecBole has it, its convolutions of neighbouring patches as matrix products."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.convncf import ConvNCF
from torch import nn

from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

_PAIRS_A_STEP = 512  # whose maps stay in the processor's cache


class PatchConvNCF(ConvNCF):
    """RecBole's ConvNCF with its parameters, loss and scores, several times as fast.

    Its kernels are as wide as their strides, so that the patches they see do not overlap, and a layer is one
    matrix product of all patches. torch's convolution of a few channels is far slower on a processor.

    Source:
        He et al., "Outer Product-based Neural Collaborative Filtering", IJCAI 2018.

    Raises:
        ConfigError: a kernel is not as wide as its stride, or does not divide the map it is given.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        width = self.embedding_size
        for kernel, stride in zip(self.cnn_kernels, self.cnn_strides):
            if kernel != stride or width % kernel:
                raise ConfigError(
                    f"ConvNCF: cnn_kernels {self.cnn_kernels} and cnn_strides {self.cnn_strides} on maps of "
                    f"{self.embedding_size}; expected equal ones whose product divides embedding_size"
                )
            width //= kernel

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Float32 [B] scores of pairs, int64 [B] users and movies."""
        maps = self.user_embedding(user)[:, :, None, None] * self.item_embedding(item)[:, None, :, None]
        for layer in self.cnn_layers.cnn_layers:
            maps = _convolve_patches(maps, layer) if isinstance(layer, nn.Conv2d) else layer(maps)
        scores: torch.Tensor = self.predict_layers(maps.sum(dim=(1, 2))).squeeze(-1)
        return scores

    def predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B] scores of pairs, a few at a time."""
        users = interaction[self.USER_ID].split(_PAIRS_A_STEP)
        items = interaction[self.ITEM_ID].split(_PAIRS_A_STEP)
        return torch.cat([self.forward(user, item) for user, item in zip(users, items)])


def _convolve_patches(maps: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """``layer`` on maps [B, height, width, channels]: its kernel meets each patch once."""
    batch, height, width, channels = maps.shape
    size = layer.kernel_size[0]
    patches = maps.view(batch, height // size, size, width // size, size, channels).transpose(2, 3)
    patches = patches.reshape(batch, height // size, width // size, size * size * channels)
    weight = layer.weight.permute(0, 2, 3, 1).reshape(layer.out_channels, -1)
    return nn.functional.linear(patches, weight, layer.bias)
