"""Turn a folder of images into vectors without any pretrained model: colour thumbnails, reduced by an SVD.

    python jobs/thumbnails.py posters --output posters.parquet

Writes one row an image: `id` (the file's name without its ending) and `vector`. A recipe takes the file by
`encoder = "vectors"`. What such vectors know of an image is its layout and its colours; `encoder = "clip_image"` of a
recipe knows what it shows, and needs a model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib import image as images

ENDINGS = (".jpg", ".jpeg", ".png")


def main() -> int:
    """Read, reduce, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="Parquet file to write")
    parser.add_argument("--height", type=int, default=18, help="rows of a thumbnail (default: 18)")
    parser.add_argument("--width", type=int, default=12, help="columns of a thumbnail (default: 12)")
    parser.add_argument("--dimension", type=int, default=128, help="columns of a vector (default: 128)")
    chosen = parser.parse_args()
    paths = sorted(path for path in chosen.folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        sys.stderr.write(f"{chosen.folder}: no {', '.join(ENDINGS)}; name a folder of images\n")
        return 1
    pixels = np.stack([thumbnail(_pixels(path), chosen.height, chosen.width).ravel() for path in paths])
    vectors = reduced(pixels, chosen.dimension)
    table = pa.table({"id": [path.stem for path in paths], "vector": list(vectors)})
    pq.write_table(table, chosen.output)
    sys.stdout.write(f"{len(paths):,} images, {vectors.shape[1]} columns: {chosen.output}\n")
    return 0


def thumbnail(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Average an image over a grid of cells.

    Args:
        pixels: (h, w, 3) of any size, each value 0 to 1.
        height: Rows of cells.
        width: Columns of cells.

    Returns:
        (height, width, 3).
    """
    rows, columns = (
        np.linspace(0, size, cells + 1) for size, cells in zip(pixels.shape, (height, width), strict=False)
    )
    row_weights, column_weights = _overlaps(rows, pixels.shape[0]), _overlaps(columns, pixels.shape[1])
    return np.einsum("rh,hwc,kw->rkc", row_weights, pixels, column_weights, optimize=True)


def reduced(pixels: np.ndarray, dimension: int) -> np.ndarray:
    """Project centred rows on their strongest directions: (N, D) to (N, at most `dimension`) float32."""
    centred = pixels - pixels.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return (left * values)[:, :dimension].astype(np.float32)


def _overlaps(edges: np.ndarray, size: int) -> np.ndarray:
    """Share of each pixel in each cell; the shares of a cell add up to one."""
    starts = np.arange(size)
    covered = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    covered = np.maximum(covered, 0)
    return np.asarray(covered / covered.sum(axis=1, keepdims=True))


def _pixels(path: Path) -> np.ndarray:
    pixels = np.asarray(images.imread(path))
    scaled = pixels / 255.0 if pixels.dtype == np.uint8 else pixels.astype(np.float64)
    return np.repeat(scaled[..., None], 3, axis=2) if scaled.ndim == 2 else scaled[..., :3]


if __name__ == "__main__":
    sys.exit(main())
