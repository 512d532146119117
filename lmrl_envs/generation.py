"""The decode loop: keys and values of ragged rows kept in one batch, and tokens drawn from any logits.

Learned parts of the tasks decode with it as it is; agents add the guidance of their values through `next_logits`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

T = TypeVar("T")
NextLogits = Callable[[list[Tensor]], Tensor]
"""Each trunk's (R, d) hidden state of the last token to the (R, vocabulary) logits of the next one."""
READ_FREELY = ("cpu",)
"""Devices whose numbers the host reads at once; others would have to be waited for."""
_ROOM = 32  # columns set aside at a time
_MASK_ALIGNED = 16  # columns
_FINISH_CHECK_ON_CARD = 8  # tokens between looks at whether rows have finished: each look waits for the card


class KeyValueRows:
    """What one or more trunks remember of R rows, each of its own number of tokens.

    Row r's tokens stand in the columns 0 .. `lengths[r]` - 1 of keys and values; nobody attends to what stands behind
    them, and new tokens are written over it. All trunks read the same tokens.
    """

    def __init__(self, trunks: Sequence[nn.Module], rows: int, device: torch.device) -> None:
        self.trunks = list(trunks)
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self._longest, self._even = 0, True  # no row is longer; whether all are as long, for sure
        self._next = _Columns(0, None)
        layer = cast("type[_Layer]", partial(_Layer, self._next))
        self.caches = [Cache(layer_class_to_replicate=layer) for _ in trunks]

    def __len__(self) -> int:
        return len(self.lengths)

    def extend(self, ids: Tensor, real: Tensor, *, dense: bool) -> list[Tensor]:
        """Feeds tokens to the first F rows; returns each trunk's (F, n, d) hidden states.

        Args:
            ids: (F, n) tokens, or (F, n, d) vectors that stand in the place of tokens' embeddings.
            real: (F, n) bool; a row's tokens that are not real come last and are forgotten at once.
            dense: all tokens are real.
        """
        fed, n = ids.shape[:2]
        lengths = self.lengths[:fed]
        longest, even = self._longest, self._even
        if lengths.device.type in READ_FREELY:
            longest, even = int(lengths.max()), bool((lengths == lengths[0]).all())
        columns = lengths[:, None] + torch.arange(n, device=lengths.device)
        self._next.start, self._next.places = longest, None
        if not even:
            self._next.places = torch.arange(fed, device=lengths.device)[:, None], columns
        mask = None
        if not (even and dense and (n == 1 or longest == 0)):  # else what attention does without a mask is right
            mask = self._mask(columns, longest + n)
        inputs = {
            "inputs_embeds" if ids.is_floating_point() else "input_ids": ids,
            "attention_mask": mask,
            "position_ids": columns if n == 1 else lengths[:, None] + (real.cumsum(1) - 1).clamp(min=0),
        }
        hidden = [
            trunk(**inputs, past_key_values=cache, use_cache=True).last_hidden_state
            for trunk, cache in zip(self.trunks, self.caches, strict=True)
        ]
        self.lengths[:fed] += real.sum(1)
        self._longest = max(self._longest, longest + n)
        self._even = even and dense and fed == len(self)
        return hidden

    def _mask(self, columns: Tensor, width: int) -> Tensor:
        """(F, n) columns of the tokens to (F, 1, n, width): each attends to what stands up to its own."""
        if columns.device.type in READ_FREELY:
            return (torch.arange(width, device=columns.device) <= columns[:, :, None])[:, None]
        # On a card as attention's kernels want it, which would otherwise be made again in each layer.
        wide = -(-width // _MASK_ALIGNED) * _MASK_ALIGNED
        unseen = torch.arange(wide, device=columns.device) > columns[:, :, None]
        like = next(self.trunks[0].parameters())
        return like.new_zeros(unseen.shape).masked_fill_(unseen, -torch.inf)[:, None, :, :width]

    @torch.inference_mode()
    def arrange(self, order: Sequence[int | None]) -> None:
        """Puts row `order[i]` into place i, an empty one where that is None; rows that it does not name are forgotten.

        Only rows that change places are copied.
        """
        kept = [(place, row) for place, row in enumerate(order) if row is not None]
        moved = [(place, row) for place, row in kept if place != row]
        places, rows = torch.tensor(kept, dtype=torch.int64, device=self.lengths.device).reshape(-1, 2).T
        lengths = self.lengths.new_zeros(len(order))
        lengths[places] = self.lengths[rows]
        self._note(lengths, lengths.tolist())
        if not moved:
            return
        places, rows = torch.tensor(moved, device=self.lengths.device).T
        for cache in self.caches:
            for layer in cast("list[_Layer]", cache.layers):
                layer.arrange(len(order), places, rows, self._longest)

    def crop(self, lengths: Sequence[int]) -> None:
        """Forgets all but each row's first `lengths[r]` tokens, of which it has as many."""
        self._note(torch.tensor(lengths, device=self.lengths.device), lengths)

    def _note(self, lengths: Tensor, known: Sequence[int]) -> None:
        self.lengths, self._longest, self._even = lengths, max(known, default=0), len(set(known)) < 2


@dataclass
class _Columns:
    """Where the tokens go that are fed: to `places`, rows (R, 1) and columns (R, n), or to all rows from `start` on."""

    start: int
    places: tuple[Tensor, Tensor] | None


class _Layer(DynamicLayer):
    """A layer's keys and values with room for tokens to come; transformers' own copies all it holds for each token."""

    def __init__(self, following: _Columns) -> None:
        super().__init__()
        self.following = following
        self._room: list[Tensor] = []  # keys and values, (rows, heads, columns, head width)

    def get_seq_length(self) -> int:
        return self.following.start

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        rows, heads, n, width = key_states.shape
        start, places = self.following.start, self.following.places
        if not self._room:
            self.lazy_initialization(key_states, value_states)
            self._room = [key_states.new_empty(0, heads, 0, width)] * 2
        held, room = self._room[0].shape[0], self._room[0].shape[2]
        if rows > held or start + n > room:
            self._resize(max(rows, held), max(start + n + _ROOM, room))
        for kept, new in zip(self._room, (key_states, value_states), strict=True):
            if places is None:
                kept[:rows, :, start : start + n] = new
            else:
                kept.transpose(1, 2)[places] = new.transpose(1, 2)
        self.keys, self.values = (kept[:rows, :, : start + n] for kept in self._room)
        return self.keys, self.values

    def arrange(self, rows: int, places: Tensor, sources: Tensor, columns: int) -> None:
        """Copies the first columns of the rows `sources` into `places`, all at once, among `rows` rows at least."""
        if rows > self._room[0].shape[0]:
            self._resize(rows, self._room[0].shape[2])
        for kept in self._room:
            kept[places, :, :columns] = kept[sources, :, :columns]

    def _resize(self, rows: int, columns: int) -> None:
        for number, kept in enumerate(self._room):
            larger = kept.new_zeros(rows, kept.shape[1], columns, kept.shape[3])  # even what is masked must be finite
            larger[: kept.shape[0], :, : kept.shape[2]] = kept
            self._room[number] = larger


class Recalled(NamedTuple):
    """Rows of conversations: `owners` says whose each is; the first `new` of them are empty.

    `kept` is what was kept beside each, None for a new one.
    """

    rows: KeyValueRows
    owners: list[int]
    new: int
    kept: list[Any]

    def to_rows(self, items: Sequence[T]) -> list[T]:
        """What belongs to each owner, in the order of the rows."""
        return [items[owner] for owner in self.owners]

    def to_owners(self, items: Sequence[T]) -> list[T]:
        """What belongs to each row, in the order of the owners."""
        order = sorted(range(len(self.owners)), key=self.owners.__getitem__)
        return [items[place] for place in order]


class Memory:
    """What trunks remember of the conversations of the last call, found again by their keys."""

    def __init__(self) -> None:
        self._rows: KeyValueRows | None = None
        self._found: dict[Hashable, tuple[int, Any]] = {}  # each one's place, and what was kept beside it

    def recall(self, trunks: Sequence[nn.Module], keys: Sequence[Hashable], device: torch.device) -> Recalled:
        """The rows of `keys`, in an order that moves few; everything else is forgotten."""
        found, self._found = self._found, {}
        new = [owner for owner, key in enumerate(keys) if key not in found]
        if self._rows is None or len(new) == len(keys):
            self._rows = KeyValueRows(trunks, len(keys), device)
            return Recalled(self._rows, new, len(new), [None] * len(new))
        held = {owner: found[key][0] for owner, key in enumerate(keys) if key in found}
        stay = {place: owner for owner, place in held.items() if len(new) <= place < len(keys)}
        move = iter([owner for owner, place in held.items() if stay.get(place) != owner])
        owners = [*new, *(stay[place] if place in stay else next(move) for place in range(len(new), len(keys)))]
        self._rows.arrange([held.get(owner) for owner in owners])
        kept = [found[keys[owner]][1] if owner in held else None for owner in owners]
        return Recalled(self._rows, owners, len(new), kept)

    def keep(self, keys: Sequence[Hashable], beside: Sequence[Any] = ()) -> None:
        """Names the rows that `recall` gave, as they stand now, and keeps something beside each; None is not found."""
        beside = beside or [None] * len(keys)
        named = zip(keys, enumerate(beside), strict=True)
        self._found = {key: placed for key, placed in named if key is not None}


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
) -> tuple[list[list[int]], list[int]]:
    """Feeds each row its `new` tokens and writes up to `max_tokens` more, to `stop`, which is left out.

    Finished rows change places with later ones and are left alone. `rows` then remember all tokens fed, the last one
    written not among them.

    Args:
        new: at least one token a row.
        uniforms: (R, max_tokens) in [0, 1), what each token is drawn with; None takes the most likely one.

    Returns:
        The tokens written, in the order given, and which of the rows as they were given now stands in each place.
    """
    device, total = rows.lengths.device, len(rows)
    lengths = torch.tensor([len(tokens) for tokens in new])
    width = int(lengths.max())
    ids = torch.tensor([[*tokens, *[stop] * (width - len(tokens))] for tokens in new])
    real = torch.arange(width) < lengths[:, None]
    hidden = rows.extend(ids.to(device), real.to(device), dense=bool(real.all()))
    last = (torch.arange(total, device=device), (lengths - 1).to(device))
    hidden = [h[last] for h in hidden]

    written = torch.full((total, max_tokens), stop, device=device)
    owners = list(range(total))  # which row each place holds; the first of them are live
    live = torch.arange(total, device=device)
    finished = torch.zeros(total, dtype=torch.bool, device=device)
    look_every = 1 if device.type in READ_FREELY else _FINISH_CHECK_ON_CARD
    for step in range(max_tokens):
        token = draw(next_logits(hidden), None if uniforms is None else uniforms[live, step])
        token = torch.where(finished, stop, token)
        written[live, step] = token
        finished = finished | (token == stop)
        if step + 1 == max_tokens:
            break
        dense = False
        if step % look_every == look_every - 1:
            over = finished.tolist()
            going = over.count(False)
            if not going:
                break
            if 8 * going <= 7 * len(over):
                order = _live_first(over)
                rows.arrange([*order, *range(len(order), total)])
                owners[: len(order)] = [owners[place] for place in order]
                kept = torch.tensor(order[:going], device=device)
                live, token, finished = live[kept], token[kept], finished[kept]
            dense = len(token) == going
        hidden = [h[:, -1] for h in rows.extend(token[:, None], ~finished[:, None], dense=dense)]
    texts = written.tolist()
    return [tokens[: tokens.index(stop)] if stop in tokens else tokens for tokens in texts], owners


def _live_first(over: Sequence[bool]) -> list[int]:
    """An order of places that has those which are not over first and moves as few as possible."""
    order, going = list(range(len(over))), over.count(False)
    holes = [place for place in range(going) if over[place]]
    late = [place for place in range(going, len(over)) if not over[place]]
    for hole, place in zip(holes, late, strict=True):
        order[hole], order[place] = place, hole
    return order
