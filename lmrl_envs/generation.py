"""The decode loop: keys and values of ragged rows kept in one batch, and tokens drawn from any logits.

Learned parts of the tasks decode with it as it is; agents add the guidance of their values through `next_logits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

NextLogits = Callable[[list[Tensor]], Tensor]
"""Each trunk's (R, d) hidden state of the last token to the (R, vocabulary) logits of the next one."""
_ROOM = 32  # columns set aside at a time
_FINISH_CHECK_ON_CARD = 8  # tokens between looks at whether rows have finished: each look waits for the card


class KeyValueRows:
    """What one or more trunks remember of R rows: tokens of ragged number in a rectangle of L columns.

    A row's tokens stand in its `valid` columns in order; other columns are holes that no token attends to. All trunks
    read the same tokens, so they share the layout.
    """

    def __init__(self, trunks: Sequence[nn.Module], rows: int, device: torch.device) -> None:
        self.trunks = list(trunks)
        self.caches = [Cache(layer_class_to_replicate=_RoomyLayer) for _ in trunks]
        self.valid = torch.zeros(rows, 0, dtype=torch.bool, device=device)
        self.dense = True  # no holes: known on the host, so that masks are built only where needed

    def __len__(self) -> int:
        return len(self.valid)

    def extend(self, ids: Tensor, real: Tensor, *, dense: bool) -> list[Tensor]:
        """Feeds (R, n) tokens, those that are not `real` as holes; returns each trunk's (R, n, d) hidden states.

        Args:
            ids: tokens, or (R, n, d) vectors that stand in the place of tokens' embeddings.
            dense: all tokens are real.
        """
        n = ids.shape[1]
        name = "inputs_embeds" if ids.is_floating_point() else "input_ids"
        positions = (self.valid.sum(1, keepdim=True) + real.cumsum(1) - 1).clamp(min=0)
        self.dense = self.dense and dense
        plain = self.dense and (n == 1 or not self.valid.shape[1])  # what attention does without a mask is right
        mask = None if plain else self._mask(real)
        self.valid = torch.cat([self.valid, real], dim=1)
        return [
            trunk(
                **{name: ids}, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            ).last_hidden_state
            for trunk, cache in zip(self.trunks, self.caches, strict=True)
        ]

    def _mask(self, real: Tensor) -> Tensor:
        """(R, 1, n, L + n) bool: valid columns, real new tokens up to oneself, and oneself, so that no row is empty."""
        rows, n = real.shape
        oneself = torch.eye(n, dtype=torch.bool, device=real.device)
        new = real[:, None, :].expand(rows, n, n).tril() | oneself
        return torch.cat([self.valid[:, None, :].expand(rows, n, -1), new], dim=2)[:, None]

    def select(self, index: Tensor) -> KeyValueRows:
        """The rows of `index`, in its order."""
        return self._with(self.valid[index], lambda x: x[index])

    def crop(self, keep: Tensor) -> KeyValueRows:
        """Forgets all but each row's first `keep` (R,) tokens and closes the holes on the right."""
        least, most = (int(keep.min()), int(keep.max())) if len(keep) else (0, 0)
        if self.dense and least == most:
            return self._with(self.valid[:, :most], lambda x: x[:, :, :most])
        valid = self.valid & (self.valid.cumsum(1) <= keep[:, None])
        width = int(valid.sum(1).max()) if valid.numel() else 0
        order = valid.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]

        def gather(x: Tensor) -> Tensor:  # (R, heads, L, head width)
            return x.gather(2, order[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))

        cropped = self._with(valid.gather(1, order), gather)
        cropped.dense = bool(cropped.valid.all())
        return cropped

    @staticmethod
    def join(parts: Sequence[KeyValueRows]) -> KeyValueRows:
        """The rows of all parts, one part after the other; at least one part has read something."""
        width = max(part.valid.shape[1] for part in parts)

        def widen(x: Tensor, dim: int) -> Tensor:
            missing = list(x.shape)
            missing[dim] = width - x.shape[dim]
            return torch.cat([x, x.new_zeros(missing)], dim=dim)

        joined = KeyValueRows(parts[0].trunks, 0, parts[0].valid.device)
        joined.valid = torch.cat([widen(part.valid, 1) for part in parts])
        joined.dense = all(part.dense and part.valid.shape[1] == width for part in parts)
        for number in range(len(joined.trunks)):
            stacks = [_layers(part.caches[number]) for part in parts]
            read = max(stacks, key=len)
            for layer, (like, _) in enumerate(read):
                keys, values = [], []
                for part, stack in zip(parts, stacks, strict=True):
                    empty = like.new_zeros(len(part), like.shape[1], 0, like.shape[3])
                    k, v = stack[layer] if stack else (empty, empty)
                    keys.append(widen(k, 2))
                    values.append(widen(v, 2))
                joined.caches[number].layers.append(_RoomyLayer((torch.cat(keys), torch.cat(values))))
        return joined

    def _with(self, valid: Tensor, change: Callable[[Tensor], Tensor]) -> KeyValueRows:
        changed = KeyValueRows(self.trunks, 0, valid.device)
        changed.valid, changed.dense = valid, self.dense
        for new, old in zip(changed.caches, self.caches, strict=True):
            new.layers.extend(_RoomyLayer((change(keys), change(values))) for keys, values in _layers(old))
        return changed


class _RoomyLayer(DynamicLayer):
    """A cache layer with room for tokens to come; transformers' own copies all that it holds for each new token."""

    def __init__(self, held: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__()
        self._room: list[Tensor] = []
        if held is not None:
            self.lazy_initialization(*held)
            self.keys, self.values = held

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        held = [cast("Tensor", self.keys), cast("Tensor", self.values)]
        old, new = held[0].shape[2], held[0].shape[2] + key_states.shape[2]
        if not self._room or self._room[0].shape[2] < new:
            rows, heads, _, width = key_states.shape
            self._room = [key_states.new_empty(rows, heads, new + _ROOM, width) for _ in held]
            for room, tokens in zip(self._room, held, strict=True):
                room[:, :, :old] = tokens
        for room, tokens in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, old:new] = tokens
        self.keys, self.values = (room[:, :, :new] for room in self._room)
        return self.keys, self.values


def _layers(cache: Cache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values (R, heads, L, head width) of each layer."""
    return [(layer.keys, layer.values) for layer in cast("list[Any]", cache.layers)]


def draw(logits: Tensor, uniforms: Tensor | None) -> Tensor:
    """(R, vocabulary) logits to (R,) tokens: the largest, or by inverse CDF where (R,) uniforms in [0, 1) are given."""
    if uniforms is None:
        return logits.argmax(-1)
    cdf = logits.double().softmax(-1).cumsum(-1)
    return (
        torch.searchsorted(cdf, uniforms[:, None] * cdf[:, -1:], right=True).squeeze(1).clamp(max=logits.shape[1] - 1)
    )


@torch.inference_mode()
def generate(
    rows: KeyValueRows,
    new: Sequence[Sequence[int]],
    next_logits: NextLogits,
    *,
    stop: int,
    max_tokens: int,
    uniforms: Tensor | None = None,
) -> tuple[list[list[int]], KeyValueRows]:
    """Feeds each row its `new` tokens and writes up to `max_tokens` more, to `stop`, which is left out.

    Finished rows leave the batch once they are a quarter of it.

    Args:
        new: at least one token a row.
        uniforms: (R, max_tokens) in [0, 1), what each token is drawn with; None takes the most likely one.

    Returns:
        The tokens written, and what the trunks now remember: all tokens fed, the last one written not among them.
    """
    device, total = rows.valid.device, len(rows)
    lengths = torch.tensor([len(tokens) for tokens in new])
    width = int(lengths.max())
    ids = torch.tensor([[*tokens, *[stop] * (width - len(tokens))] for tokens in new])
    real = torch.arange(width) < lengths[:, None]
    hidden = rows.extend(ids.to(device), real.to(device), dense=bool(real.all()))
    last = (torch.arange(total, device=device), (lengths - 1).to(device))
    hidden = [h[last] for h in hidden]

    written = torch.full((total, max_tokens), stop, device=device)
    live = torch.arange(total, device=device)  # which row each row of the batch is
    finished = torch.zeros(total, dtype=torch.bool, device=device)
    shelf: list[tuple[Tensor, KeyValueRows]] = []
    look_every = 1 if device.type == "cpu" else _FINISH_CHECK_ON_CARD
    for step in range(max_tokens):
        token = draw(next_logits(hidden), None if uniforms is None else uniforms[live, step])
        token = torch.where(finished, stop, token)
        written[live, step] = token
        finished = finished | (token == stop)
        if step + 1 == max_tokens:
            break
        dense = False
        if step % look_every == look_every - 1:
            done = int(finished.sum())
            if done == len(live):
                break
            if 4 * done >= len(live):
                shelf.append((live[finished], rows.select(finished.nonzero().squeeze(1))))
                going = (~finished).nonzero().squeeze(1)
                rows, live, token, finished = rows.select(going), live[going], token[going], finished[going]
                done = 0
            dense = done == 0
        hidden = [h[:, -1] for h in rows.extend(token[:, None], ~finished[:, None], dense=dense)]
    if shelf:
        order = torch.cat([live, *(which for which, _ in shelf)]).argsort()
        rows = KeyValueRows.join([rows, *(part for _, part in shelf)]).select(order)
    texts = written.tolist()
    return [tokens[: tokens.index(stop)] if stop in tokens else tokens for tokens in texts], rows
