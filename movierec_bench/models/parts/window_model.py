"""What the sequence models share that learn from whole windows: one loss at every position, over all movies."""

from __future__ import annotations

from typing import Any, Optional

import torch

# Floats of a block of logits. On a CPU it stays in the cache, which makes the loss a third faster; elsewhere fewer,
# larger steps are better.
_LOGITS_A_BLOCK = {"cpu": 500_000}
_LOGITS_ELSEWHERE = 50_000_000


class WindowModel:
    """Trains a sequence model of RecBole's on whole windows. Mixed in before the RecBole class.

    The layers, their names and the ranking are RecBole's, so the weights go from one to the other; only the
    training differs. A subclass gives the hidden states of every position and, if it has one, an output bias.
    """

    n_items: int  # these and the following are RecBole's
    item_embedding: torch.nn.Embedding
    ITEM_SEQ: str
    ITEM_SEQ_LEN: str
    POS_ITEM_ID: str

    def hidden_states(self, item_seq: torch.Tensor) -> torch.Tensor:
        """What the model makes of each position.

        Args:
            item_seq: int64 [B, W], windows padded on the right with 0.

        Returns:
            Float32 [B, W, H]; a position knows the rows up to itself and none after.
        """
        raise NotImplementedError

    def item_vectors(self) -> torch.Tensor:
        """Float32 [n_items, H], row 0 padding: what hidden states are compared with."""
        return self.item_embedding.weight[: self.n_items]

    def item_bias(self) -> Optional[torch.Tensor]:
        """Float32 [n_items] added to the scores, or None."""
        return None

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Mean cross-entropy of the next movie over all movies, at every position that has one."""
        item_seq = interaction[self.ITEM_SEQ]
        last = interaction[self.ITEM_SEQ_LEN] - 1
        targets = next_movies(item_seq, last, interaction[self.POS_ITEM_ID])
        return self.loss_at(self.hidden_states(item_seq), targets)

    def loss_at(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of ``targets`` (int64 [B, W], 0: none) from ``hidden`` (float32 [B, W, H])."""
        counted = targets > 0
        return softmax_loss(hidden[counted], self.item_vectors(), self.item_bias(), targets[counted])

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of the movie after each window, column 0 padding."""
        length = interaction[self.ITEM_SEQ_LEN]
        item_seq = trimmed(interaction[self.ITEM_SEQ], length)
        return self.scores(at_position(self.hidden_states(item_seq), length - 1))

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 [..., n_items] scores of all movies from ``hidden`` (float32 [..., H])."""
        scores = hidden @ self.item_vectors().T
        bias = self.item_bias()
        return scores if bias is None else scores + bias


class CausalAttention(WindowModel):
    """The hidden states of RecBole's transformers over movies and positions, SASRec's and S3Rec's."""

    position_embedding: torch.nn.Embedding
    trm_encoder: torch.nn.Module
    LayerNorm: torch.nn.Module
    dropout: torch.nn.Module

    def hidden_states(self, item_seq: torch.Tensor) -> torch.Tensor:
        """Float32 [B, W, H] of windows int64 [B, W]; a position sees itself and the past."""
        width = item_seq.shape[1]
        embedded = self.item_embedding(item_seq) + self.position_embedding.weight[:width]
        embedded = self.dropout(self.LayerNorm(embedded))
        layers: list[torch.Tensor] = self.trm_encoder(embedded, causal_mask(width, item_seq.device), False)
        return layers[-1]


def causal_mask(width: int, device: torch.device) -> torch.Tensor:
    """Float32 [1, 1, W, W] to add to attention scores: 0 for the past and itself, -10000 (as RecBole) for later.

    Windows are padded on the right, so no real position can look at padding either.
    """
    return torch.full((1, 1, width, width), -10000.0, device=device).triu(diagonal=1)


def next_movies(item_seq: torch.Tensor, last: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """The movie after each position of windows, 0 where there is none.

    Args:
        item_seq: int64 [B, W], windows padded on the right with 0.
        last: int64 [B], each window's last position.
        following: int64 [B], the movie after the window, 0 for none.

    Returns:
        Int64 [B, W].
    """
    targets = torch.cat([item_seq[:, 1:], torch.zeros_like(item_seq[:, :1])], dim=1)
    return targets.scatter(1, last.unsqueeze(1), following.unsqueeze(1))


def trimmed(item_seq: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """``item_seq`` (int64 [B, W]) without the columns that are padding for everybody."""
    return item_seq[:, : int(length.max())]


def at_position(hidden: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Float32 [B, H]: of ``hidden`` (float32 [B, W, H]) the row at each ``position`` (int64 [B])."""
    return hidden[torch.arange(len(hidden), device=hidden.device), position]


def softmax_loss(
    hidden: torch.Tensor, item_vectors: torch.Tensor, item_bias: Optional[torch.Tensor], targets: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of a softmax over all movies, in bounded memory.

    Equal to ``cross_entropy(hidden @ item_vectors[1:].T + item_bias[1:], targets - 1)``, whose logits would
    take gigabytes: they are made block by block and turned into gradients on the spot.

    Args:
        hidden: float32 [N, H].
        item_vectors: float32 [n_items, H]; row 0 is padding and takes no part.
        item_bias: float32 [n_items] or None.
        targets: int64 [N], each from 1 to n_items - 1.

    Returns:
        A scalar; 0 when N is 0.

    Source:
        ours; the gradient of cross-entropy is the softmax minus the one-hot target.
    """
    if len(hidden) == 0:
        return hidden.sum()
    bias = None if item_bias is None else item_bias[1:]
    return _SoftmaxLoss.apply(hidden, item_vectors[1:], bias, targets - 1)


class _SoftmaxLoss(torch.autograd.Function):
    """`softmax_loss` with the gradients computed in the forward pass, while a block of logits is at hand."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, vectors: torch.Tensor, bias: Optional[torch.Tensor], targets: torch.Tensor
    ) -> torch.Tensor:
        total = hidden.new_zeros(())
        grad_hidden, grad_vectors = torch.empty_like(hidden), torch.zeros_like(vectors)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        rows_a_block = max(1, _LOGITS_A_BLOCK.get(hidden.device.type, _LOGITS_ELSEWHERE) // len(vectors))
        for first in range(0, len(hidden), rows_a_block):
            rows = slice(first, first + rows_a_block)
            block, wanted = hidden[rows], targets[rows].unsqueeze(1)
            logits = block @ vectors.T
            if bias is not None:
                logits += bias
            highest = logits.amax(dim=1, keepdim=True)
            score = logits.gather(1, wanted)
            weights = logits.sub_(highest).exp_()  # the softmax but for its sum, in the logits' memory
            weight_sum = weights.sum(dim=1, keepdim=True)
            total += (weight_sum.log() + highest - score).sum()
            error = weights.div_(weight_sum * len(hidden))
            error.scatter_add_(1, wanted, torch.full_like(score, -1.0 / len(hidden)))
            grad_hidden[rows] = error @ vectors
            grad_vectors.addmm_(error.T, block)
            if grad_bias is not None:
                grad_bias += error.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_vectors, grad_bias)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[Optional[torch.Tensor], ...]:  # type: ignore[override]
        grad_hidden, grad_vectors, grad_bias = ctx.saved_tensors
        return (
            grad_hidden * grad_output,
            grad_vectors * grad_output,
            None if grad_bias is None else grad_bias * grad_output,
            None,
        )
