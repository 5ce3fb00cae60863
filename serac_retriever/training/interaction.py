"""The late-interaction head in PyTorch: its training form and its export.

The trunk is the packaged encoder, frozen: it reads query and edit apart, and the token states of
its layer :data:`LOWER` and of its last are kept. The head first compares each token with those of
the other side that are most like it (in both layers), then its layers read both texts together, so
that every token attends to every other. They start as copies of the encoder's own upper layers,
which know English already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from serac_retriever.models.encoder import LOWER
from serac_retriever.training.export_encoder import source
from serac_retriever.training.onnx_file import round_as_stored, write_onnx

MAX_TOKENS = 128  # of either side, in training
WIDTH = 384
HALVES = (slice(0, WIDTH), slice(WIDTH, 2 * WIDTH))  # the two layers of the token states


class Interaction(nn.Module):
    """Reads the token states of a query and an edit together.

    Args:
        outputs: How many numbers it gives a pair.
        spans: Give start and end scores for every token of the edit, too.
    """

    def __init__(self, outputs: int = 1, spans: bool = False) -> None:
        super().__init__()
        bert = AutoModel.from_pretrained(source(), attn_implementation="eager")
        self.layers = nn.ModuleList(bert.encoder.layer[LOWER:])
        for part in self.layers.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # half the time of a step on a CPU; the pairs are varied enough
        self.scale = nn.Parameter(torch.tensor([8.0, 8.0]))  # how sharply tokens are aligned
        difference = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(difference.weight, std=0.01)  # begin close to the encoder's own states
        nn.init.zeros_(difference.bias)
        self.compare = nn.Sequential(nn.Linear(6 * WIDTH, WIDTH), nn.GELU(), difference)
        self.side = nn.Embedding(2, WIDTH)
        nn.init.normal_(self.side.weight, std=0.02)
        self.head = nn.Sequential(
            nn.Linear(5 * WIDTH, 256), nn.GELU(), nn.Dropout(0.1), nn.Linear(256, outputs)
        )
        self.spans = nn.Linear(WIDTH, 2) if spans else None

    def forward(self, query: Tensor, query_mask: Tensor, edit: Tensor, edit_mask: Tensor) -> Any:
        """Return logits, (batch, outputs); with spans also (batch, edit tokens, 2).

        Args:
            query: Token states of both layers, (batch, query tokens, 768).
            query_mask: 1 for a real token, else 0, (batch, query tokens), float.
            edit: As ``query``, (batch, edit tokens, 768).
            edit_mask: As ``query_mask``.
        """
        asked, told, _ = self.compared(query, query_mask, edit, edit_mask)
        return self.joined(asked, query_mask, told, edit_mask)

    def compared(
        self, query: Tensor, query_mask: Tensor, edit: Tensor, edit_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return each side's tokens after they were set beside the other's, and both in short.

        To each token is added how it differs from what it is aligned with on the other side, as in
        decomposable attention and ESIM: attention alone learns to compare only slowly.

        Args:
            query: As in :meth:`forward`; so are the others.
            query_mask: See there.
            edit: See there.
            edit_mask: See there.

        Returns:
            (batch, query tokens, 384), (batch, edit tokens, 384) and (batch, 1920).
        """
        middle, top = (
            _unit(query[..., half]) @ _unit(edit[..., half]).transpose(1, 2) for half in HALVES
        )
        similar = self.scale[0] * middle + self.scale[1] * top
        to_edit = torch.softmax(similar + ((1 - edit_mask) * -1e4)[:, None, :], dim=-1)
        back = similar.transpose(1, 2) + ((1 - query_mask) * -1e4)[:, None, :]
        to_query = torch.softmax(back, dim=-1)
        states = torch.cat([query, edit], dim=1)
        apart = self._differing(states, torch.cat([to_edit @ edit, to_query @ query], dim=1))
        asked = apart[:, : query.shape[1]] + self.side.weight[0]
        told = apart[:, query.shape[1] :] + self.side.weight[1]
        return asked, told, _pooled(asked, query_mask, told, edit_mask)

    def joined(self, asked: Tensor, query_mask: Tensor, told: Tensor, edit_mask: Tensor) -> Any:
        """Return what :meth:`forward` does, from what :meth:`compared` gave."""
        states = torch.cat([asked, told], dim=1)
        mask = torch.cat([query_mask, edit_mask], dim=1)
        hidden = ((1 - mask) * -1e4)[:, None, None, :].to(states.dtype)
        for layer in self.layers:
            out = layer(states, hidden)
            states = out[0] if isinstance(out, tuple) else out
        asked, told = states[:, : asked.shape[1]], states[:, asked.shape[1] :]
        logits = self.head(_pooled(asked, query_mask, told, edit_mask))
        if self.spans is None:
            return logits
        return logits, self.spans(told) + ((1 - edit_mask) * -1e4)[:, :, None]

    def _differing(self, states: Tensor, aligned: Tensor) -> Tensor:
        apart = states - aligned
        first, *rest = self.compare
        weight, bias = cast(nn.Linear, first).weight, cast(nn.Linear, first).bias
        differences = torch.cat([apart, apart.abs()], dim=-1)
        hidden = nn.functional.linear(differences, weight[:, : 4 * WIDTH], bias)
        hidden = hidden + nn.functional.linear(states * aligned, weight[:, 4 * WIDTH :])
        compared: Tensor = nn.Sequential(*rest)(hidden)
        return states[..., :WIDTH] + compared


class PairModel(nn.Module):
    """Frozen trunk and trained head, from token ids to a loss, as transformers' Trainer wants it.

    Subclasses say what the loss is.
    """

    def __init__(self, head: Interaction) -> None:
        super().__init__()
        # the trunk as it is served
        bert = round_as_stored(AutoModel.from_pretrained(source(), attn_implementation="eager"))
        self.embeddings = bert.embeddings
        self.layers = bert.encoder.layer
        for frozen in (self.embeddings, self.layers):
            frozen.requires_grad_(False)
        self.head = head

    def train(self, mode: bool = True) -> PairModel:
        """Keep the frozen trunk free of dropout: its states must be those it has in use."""
        super().train(mode)
        self.embeddings.eval()
        self.layers.eval()
        return self

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the trunk's token states of the middle and last layer, (batch, tokens, 768)."""
        hidden = ((1 - mask.float()) * -1e4)[:, None, None, :]
        with torch.no_grad():
            states = [self.embeddings(ids)]
            for layer in self.layers:
                out = layer(states[-1], hidden.to(states[-1].dtype))
                states.append(out[0] if isinstance(out, tuple) else out)
        return torch.cat([states[LOWER], states[-1]], dim=-1)

    def judged(
        self, query_ids: Tensor, query_mask: Tensor, edit_ids: Tensor, edit_mask: Tensor
    ) -> Any:
        """Return what the head says of token ids."""
        return self.head(
            self.states(query_ids, query_mask), query_mask.float(),
            self.states(edit_ids, edit_mask), edit_mask.float(),
        )  # fmt: skip


class ScopeModel(PairModel):
    """A head with one output, trained to tell what is in scope (the paper's section 3)."""

    def __init__(self, head: Interaction | None = None) -> None:
        super().__init__(head or Interaction())

    def forward(
        self,
        query_ids: Tensor,
        query_mask: Tensor,
        edit_ids: Tensor,
        edit_mask: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the logits of the pairs and, where labels are given, the binary cross-entropy."""
        logits = self.judged(query_ids, query_mask, edit_ids, edit_mask).squeeze(1).float()
        if labels is None:
            return {"logits": logits}
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        return {"loss": loss, "logits": logits}


class ReaderModel(PairModel):
    """A head with three verdicts and a span: the edit's own words, true, or false."""

    def __init__(self, head: Interaction | None = None) -> None:
        super().__init__(head or Interaction(outputs=3, spans=True))

    def forward(
        self,
        query_ids: Tensor,
        query_mask: Tensor,
        edit_ids: Tensor,
        edit_mask: Tensor,
        labels: Tensor | None = None,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return verdict logits and, where labels are given, the cross-entropies' sum.

        ``starts`` and ``ends`` are places among the edit's tokens; -100 where none is taught.
        """
        verdicts, spans = self.judged(query_ids, query_mask, edit_ids, edit_mask)
        if labels is None or starts is None or ends is None:
            return {"logits": verdicts, "spans": spans}
        loss = nn.functional.cross_entropy(verdicts.float(), labels)
        taught = (starts >= 0).sum()
        if taught:
            places = torch.stack([starts, ends], dim=1)
            off = nn.functional.cross_entropy(spans.float(), places, reduction="sum")
            loss = loss + off / (4 * taught)  # the verdict is what decides most
        return {"loss": loss, "logits": verdicts}


class Collate:
    """Makes a batch of rows with ``query`` and ``edit`` texts: token ids, padded, and labels."""

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(source())
        self.max_tokens = max_tokens

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Return what :meth:`ScopeModel.forward` takes."""
        batch: dict[str, Tensor] = {}
        for side in ("query", "edit"):
            encoded = self.tokenizer(
                [row[side] for row in rows],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            batch[f"{side}_ids"] = encoded["input_ids"]
            batch[f"{side}_mask"] = encoded["attention_mask"]
        if "label" in rows[0]:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch


class CollateReadings(Collate):
    """As :class:`Collate`, for rows with ``start`` and ``end``, in characters of ``edit``."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Return what :meth:`ReaderModel.forward` takes."""
        batch = super().__call__(rows)
        edits = self.tokenizer(
            [row["edit"] for row in rows], truncation=True, max_length=self.max_tokens
        )
        for side in ("start", "end"):
            places = []
            for number, row in enumerate(rows):
                # an end is the place after the last character
                at = row[side] - (side == "end")
                place = edits.char_to_token(number, at) if row["start"] >= 0 else None
                places.append(-100 if place is None else place)
            batch[f"{side}s"] = torch.tensor(places)
        return batch


def export_head(head: Interaction, path: Path) -> Path:
    """Write a head as ONNX and return the path.

    Inputs: ``query``, ``query_mask``, ``edit``, ``edit_mask``, float32, as in
    :meth:`Interaction.forward`. Outputs: ``logits`` and, with spans, ``spans``.
    """
    outputs = ["logits"] if head.spans is None else ["logits", "spans"]
    return _write(head, path, 2 * WIDTH, outputs)


def export_stages(head: Interaction, first: Path, second: Path) -> None:
    """Write a head as two ONNX files: most pairs need no more than the first.

    Both multiply whole numbers, twice as fast (a logit moves by some 0.15).

    Args:
        head: The head.
        first: For :meth:`Interaction.compared`; outputs ``asked``, ``told``, ``pooled``.
        second: For :meth:`Interaction.joined`; takes ``asked`` and ``told`` as ``query`` and
            ``edit``; output ``logits``.
    """
    compared = ["asked", "told", "pooled"]
    stage = _Stage(head, head.compared)
    # a few products run so high that, rounded beside them, the others would be lost
    _write(stage, first, 2 * WIDTH, compared, integers=True, spared=(2 * WIDTH, WIDTH))
    _write(_Stage(head, head.joined), second, WIDTH, ["logits"], integers=True)


class _Stage(nn.Module):
    """One method of a head, as a module."""

    def __init__(self, head: Interaction, method: Callable[..., Any]) -> None:
        super().__init__()
        self.head = head
        self.method = method

    def forward(self, query: Tensor, query_mask: Tensor, edit: Tensor, edit_mask: Tensor) -> Any:
        return self.method(query, query_mask, edit, edit_mask)


def _write(module: nn.Module, path: Path, width: int, outputs: list[str], **numbers: Any) -> Path:
    def dim(name: str) -> Any:
        return torch.export.Dim(name, max=512)

    states = torch.rand(2, 16, width)
    sides = (states[:, :7], torch.ones(2, 7), states[:, 7:], torch.ones(2, 9))
    batch, query, edit = torch.export.Dim("batch"), dim("query_tokens"), dim("edit_tokens")
    return write_onnx(
        module,
        sides,
        path,
        **numbers,
        input_names=["query", "query_mask", "edit", "edit_mask"],
        output_names=outputs,
        dynamic_shapes=({0: batch, 1: query},) * 2 + ({0: batch, 1: edit},) * 2,
    )


def _pooled(asked: Tensor, query_mask: Tensor, told: Tensor, edit_mask: Tensor) -> Tensor:
    """Return a pair in short: one token that fits nothing decides, so the extremes count, too."""
    return torch.cat(
        [
            _mean(asked, query_mask), _mean(told, edit_mask),
            _most(asked, query_mask), _most(told, edit_mask), asked[:, 0],
        ],
        dim=1,
    )  # fmt: skip


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def _most(states: Tensor, mask: Tensor) -> Tensor:
    return (states + ((1 - mask) * -1e4)[:, :, None]).amax(1)


def _unit(states: Tensor) -> Tensor:
    return nn.functional.normalize(states, dim=-1)
