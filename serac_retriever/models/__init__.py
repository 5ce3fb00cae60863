"""The packaged weights, and the one place that finds them."""

from __future__ import annotations

from pathlib import Path

from serac_retriever.errors import WeightsNotFoundError

FOLDER = Path(__file__).parent
ENCODER_FOLDER = FOLDER / "all-minilm-l6-v2"


def weights(folder: Path, name: str) -> Path:
    """Return the path of one file of weights or settings.

    Raises:
        WeightsNotFoundError: It is not there; says where it was looked for and how to mend it.

    Example:
        >>> weights(ENCODER_FOLDER, "encoder.onnx").name
        'encoder.onnx'
    """
    path = folder / name
    if not path.is_file():
        raise WeightsNotFoundError(
            f"Expected weights at {path}, found none. Reinstall serac-retriever; or make them "
            "again: python -m serac_retriever.training.export_encoder for the encoder, serac "
            "train for the models over it"
        )
    return path
