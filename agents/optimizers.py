"""Optimisers by name: AdamW for everything, or Muon for the trunks' matrices with AdamW for the rest.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes each matrix's step orthogonal; scaled to the size of
an AdamW step (Liu et al., arXiv 2502.16982) it takes the same learning rate. It costs some ten milliseconds a step,
whatever the batch, so it pays on batches of several thousand tokens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "muon"]


def make_optimizer(
    name: OptimizerName,
    module: nn.Module,
    groups: list[dict[str, Any]],
    *,
    lr: float,
    weight_decay: float,
    matrices: Iterable[Tensor] = (),
) -> torch.optim.Optimizer:
    """The optimiser of that name over an algorithm's parameter groups. Muon takes `matrices` outside trunks too."""
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=True)
    chosen = set(map(id, [*trunk_matrices(module), *matrices]))
    inner = _only(groups, lambda parameter: id(parameter) in chosen)
    rest = _only(groups, lambda parameter: id(parameter) not in chosen)
    parts: list[torch.optim.Optimizer] = []
    if inner:
        on_card = all(parameter.is_cuda for group in inner for parameter in group["params"])
        muon = BatchedMuon if on_card else torch.optim.Muon
        parts.append(muon(inner, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    if rest:
        parts.append(torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, fused=True))
    return SideBySide(parts)


class BatchedMuon(torch.optim.Muon):
    """Muon with all matrices of a shape in one batch, the same but for rounding.

    torch's own takes them one by one, some forty small kernels each, which is most of a small model's step on a card.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("it takes no closure; compute the loss before the step")
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            grads = [param.grad for param in params]
            for param in params:
                if "momentum_buffer" not in self.state[param]:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param.grad)
            momenta = [self.state[param]["momentum_buffer"] for param in params]
            if not params:
                continue
            torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
            steps = torch._foreach_lerp(grads, momenta, group["momentum"]) if group["nesterov"] else momenta
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            alike: dict[tuple[int, int], list[int]] = {}
            for place, param in enumerate(params):
                alike.setdefault((min(param.shape), max(param.shape)), []).append(place)
            for (_, longer), places in alike.items():
                wide = [params[place].shape[0] <= params[place].shape[1] for place in places]
                batch = torch.stack(
                    [steps[place] if w else steps[place].T for place, w in zip(places, wide, strict=True)]
                )
                made = orthogonal(batch, group["ns_coefficients"], group["ns_steps"], group["eps"]).to(batch.dtype)
                turned = made if all(wide) else made.mT.contiguous()  # as parameters lie, for one call over all
                torch._foreach_add_(
                    [params[place] for place in places],
                    [made[n] if w else turned[n] for n, w in enumerate(wide)],
                    alpha=-group["lr"] * 0.2 * math.sqrt(longer),  # match_rms_adamw
                )


def orthogonal(G: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """(n, rows, columns), no more rows than columns, to about the nearest orthogonal matrices, by Newton and Schulz."""
    a, b, c = coefficients
    X = G.bfloat16()
    X = X / X.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def trunk_matrices(module: nn.Module) -> Iterable[Tensor]:
    """The weights of the linear maps inside the language-model trunks: no embeddings, no heads."""
    from transformers import Conv1D, PreTrainedModel  # noqa: PLC0415 - takes seconds to import

    for trunk in module.modules():
        if isinstance(trunk, PreTrainedModel) and trunk is trunk.base_model:
            yield from (layer.weight for layer in trunk.modules() if isinstance(layer, nn.Linear | Conv1D))


def _only(groups: list[dict[str, Any]], wanted: Callable[[Tensor], bool]) -> list[dict[str, Any]]:
    """The groups, with their settings, of the parameters that are wanted; none without parameters."""
    chosen = [group | {"params": [p for p in group["params"] if wanted(p)]} for group in groups]
    return [group for group in chosen if group["params"]]


class SideBySide(torch.optim.Optimizer):
    """Optimisers of different parameters as one: its groups and its state are theirs, one after the other."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("several optimisers at once take no closure; compute the loss before the step")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        states = [part.state_dict() for part in self.parts]
        return {
            "state": {
                first + index: values
                for first, state in zip(self._firsts(), states, strict=True)
                for index, values in state["state"].items()
            },
            "param_groups": [group for state in states for group in state["param_groups"]],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        groups, firsts = iter(state_dict["param_groups"]), [*self._firsts(), math.inf]
        for part, (first, end) in zip(self.parts, itertools.pairwise(firsts), strict=True):
            own = {index - first: values for index, values in state_dict["state"].items() if first <= index < end}
            part.load_state_dict({"state": own, "param_groups": [next(groups) for _ in part.param_groups]})

    def _firsts(self) -> list[int]:
        """The index of each part's first parameter among all."""
        counts = [sum(len(group["params"]) for group in part.param_groups) for part in self.parts]
        return list(itertools.accumulate(counts[:-1], initial=0))
