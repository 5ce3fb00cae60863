"""The packaged sentence encoder: all-MiniLM-L6-v2 in ONNX, as LangChain ``Embeddings``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from serac_retriever.models import ENCODER_FOLDER, weights
from serac_retriever.models.token_states import StateStore, TokenStates

MAX_TOKENS = 256  # as the model was trained, and as Chroma's default embedding function cuts
BATCH = 32
PADDING = 1.2  # how much longer than a batch's shortest text its longest may be
KEPT_MB = 64  # of token states, the most recent texts': some 7,000 short ones
LOWER = 3  # of six: late interaction reads the token states of this layer and of the last
MAX_CHARACTERS = 16 * MAX_TOKENS  # more never reaches the model, and would be tokenised for nothing


class _Kept(NamedTuple):
    """What is kept of a text: token states and, where it was read here, its word pieces."""

    states: TokenStates
    pieces: list[int] | None = None  # with the marks at both ends


class PackagedEncoder(Embeddings):
    """all-MiniLM-L6-v2, the model of Chroma's default embedding function, from this package.

    No network, key or torch. Weights load at the first text (about a second). Texts of more than
    256 tokens are judged by their beginning.

    Args:
        folder: Where ``encoder.onnx`` and ``tokenizer.json`` lie.
        threads: onnxruntime threads. One is fastest for single queries and safe beside other work.

    Example:
        >>> vector = PackagedEncoder().embed_query("Who leads Britain?")
        >>> len(vector)
        384
    """

    encoder_id = "all-MiniLM-L6-v2"

    def __init__(self, folder: Path = ENCODER_FOLDER, threads: int = 1) -> None:
        self.folder = folder
        self.threads = threads
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._stores: WeakSet[StateStore] = WeakSet()
        self._lock = Lock()

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            weights(self.folder, "encoder.onnx"), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(weights(self.folder, "tokenizer.json")))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    def encode(
        self, texts: Sequence[str], store: StateStore | None = None
    ) -> npt.NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: What to embed.
            store: Where to keep their token states, too.

        Returns:
            Unit vectors, float32, shape (len(texts), 384): their dot product is the cosine.
        """
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        queries = len(texts) <= BATCH
        stored: dict[str, TokenStates] = {}
        for rows in batches([len(text) for text in texts]):
            batch = [texts[row] for row in rows]
            # a bulk load may fill half of the room: it is likely to be asked about, and pushes out
            # nothing that was
            keep = queries or self._kept_bytes < KEPT_MB * 2**19
            vectors[rows], found = self._read(batch, states=keep or store is not None)
            if keep:
                self._keep(found)
            if store is not None:
                stored.update((text, one.states) for text, one in found.items())
        if store is not None:
            store.put(stored)
        return vectors

    def read_from(self, store: StateStore) -> None:
        """Look for token states there, too, before texts are read: for as long as it is in use."""
        with self._lock:
            self._stores.add(store)

    def token_states(self, texts: Sequence[str]) -> list[TokenStates]:
        """Return what the encoder makes of each token, half-way up and at the top.

        A text embedded a moment ago costs nothing: its states are a by-product, kept for the most
        recent texts, :data:`KEPT_MB` megabytes in all. One that a memory keeps is read from there.

        Returns:
            For each text the states of its tokens.
        """
        found: dict[str, TokenStates] = {}
        with self._lock:
            stores = [*self._stores]
            for text in dict.fromkeys(texts):
                if (kept := self._kept.get(text)) is not None:
                    self._kept.move_to_end(text)
                    found[text] = kept.states
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for store in stores if missing else ():
            stored = store.find(missing)
            self._keep({text: _Kept(states) for text, states in stored.items()})
            found.update(stored)
            missing = [text for text in missing if text not in stored]
        for rows in batches([len(text) for text in missing]):
            _, read = self._read([missing[row] for row in rows])
            self._keep(read)
            found.update((text, one.states) for text, one in read.items())
        return [found[text] for text in texts]

    def pieces(self, text: str) -> list[int]:
        """Return the numbers of a text's word pieces, without the marks at both ends."""
        kept = self._kept.get(text)
        known = kept.pieces if kept else None
        ids: list[int] = known or self._tokenizer.encode(beginning(text)).ids
        return ids[1:-1]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where each token of a text begins and ends in it, in characters."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(beginning(text)).offsets
        return offsets

    def _read(
        self, texts: list[str], states: bool = True
    ) -> tuple[npt.NDArray[np.float32], dict[str, _Kept]]:
        """Run the model on a batch: its vectors and, where asked for, what there is to keep."""
        encodings = self._tokenizer.encode_batch([beginning(text) for text in texts])
        fields = {
            "input_ids": "ids",
            "attention_mask": "attention_mask",
            "token_type_ids": "type_ids",
        }
        inputs = {
            name: np.array([getattr(encoding, field) for encoding in encodings], dtype=np.int64)
            for name, field in fields.items()
        }
        if not states:
            (vectors,) = self._session.run(["sentence_embedding"], inputs)
            return np.asarray(vectors, dtype=np.float32), {}
        vectors, rows = self._session.run(["sentence_embedding", "token_states"], inputs)
        lengths = inputs["attention_mask"].sum(axis=1).tolist()
        found = {
            text: _Kept(TokenStates.of(row[:length]), encoding.ids[:length])
            for text, row, length, encoding in zip(texts, rows, lengths, encodings, strict=True)
        }
        return np.asarray(vectors, dtype=np.float32), found

    def _keep(self, found: dict[str, _Kept]) -> None:
        with self._lock:
            for text, one in found.items():
                if text not in self._kept:
                    self._kept_bytes += one.states.nbytes + len(text)
                self._kept[text] = one
            while self._kept_bytes > KEPT_MB * 2**20:
                text, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.states.nbytes + len(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts as lists of 384 floats."""
        vectors: list[list[float]] = self.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed one text as a list of 384 floats."""
        return self.embed_documents([text])[0]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts to read, those of like length together: padding is read, too.

    Example:
        >>> [*batches([50, 9, 48, 10])]
        [[1, 3], [2, 0]]
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == BATCH or lengths[place] > PADDING * lengths[batch[0]] + 4):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def beginning(text: str) -> str:
    """Return what of a text can reach the model, as Unicode that a tokenizer can read."""
    if len(text) > MAX_CHARACTERS:  # blanks are no tokens: a question may follow thousands
        text = " ".join(text.split())[:MAX_CHARACTERS]
    return text.encode(errors="replace").decode()


@cache
def packaged_encoder() -> PackagedEncoder:
    """Return the packaged encoder, one for the process: its weights load once."""
    return PackagedEncoder()


def encoder_id(embeddings: Embeddings) -> str:
    """Return the name that a collection remembers its encoder by.

    An ``encoder_id`` attribute wins; else it is the class and the model's name.
    """
    own = getattr(embeddings, "encoder_id", None)
    if own:
        return str(own)
    kind = type(embeddings)
    names = (
        getattr(embeddings, name, None) for name in ("model_name", "model", "model_id", "repo_id")
    )
    model = next((name for name in names if isinstance(name, str)), "")
    return f"{kind.__module__}.{kind.__qualname__}:{model}".rstrip(":")
