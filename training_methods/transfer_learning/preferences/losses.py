"""Losses of preference pairs: what pushes the preferred answer up against the other.

Each is a function of how much likelier the trained model finds an answer than its reference does, in nats:
`log pi(answer) - log reference(answer)`, which `beta` turns into a reward (Rafailov et al. 2023, section 4).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from training_methods.transfer_learning.settings import PreferenceLoss


def pair_losses(gains: Tensor, tokens: Tensor, *, kind: PreferenceLoss, beta: float, label_smoothing: float) -> Tensor:
    """The loss of each pair, shape (pairs,).

    - sigmoid: Direct Preference Optimization, Rafailov et al. 2023 (arXiv:2305.18290), equation 7. With
      `label_smoothing` e, which is the share of pairs that are labelled the wrong way round: conservative DPO
      (E. Mitchell, A note on DPO with noisy preferences and relationship to IPO, 2023).
    - ipo: Azar et al. 2023 (arXiv:2310.12036), equation 17; beta is its tau. Gains are taken per token, as in
      the authors' experiments: the square of sums would grow with the length of the answers.
    - hinge: the margin of SLiC (Zhao et al. 2023, arXiv:2305.10425) over a reference, as "hinge-norm" of Liu et
      al. 2024 (Statistical rejection sampling improves preference optimization, arXiv:2309.06657).

    Args:
        gains: (pairs, 2), log-likelihoods over those of the reference, of the chosen and the rejected answer.
        tokens: (pairs, 2), tokens of these answers.
        kind: which loss.
        beta: how far the model may go from its reference: the smaller, the further.
        label_smoothing: from 0 to below 0.5.
    """
    if kind == "ipo":
        means = gains / tokens
        return (means[:, 0] - means[:, 1] - 1 / (2 * beta)).square()
    margins = beta * (gains[:, 0] - gains[:, 1])
    if kind == "hinge":
        return functional.relu(1 - margins)
    straight, swapped = functional.logsigmoid(margins), functional.logsigmoid(-margins)
    return -(1 - label_smoothing) * straight - label_smoothing * swapped
