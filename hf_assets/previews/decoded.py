"""A few samples beside what comes back when their latents are decoded, made while the VAE is loaded anyway.

Which ones is decided by their keys, which are hashes: the same ones from run to run, and each is decoded once.
"""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from hf_assets import files, folder
from hf_assets.blobs import Location
from hf_assets.draw import numbers, sheets
from hf_assets.errors import StoreError

if TYPE_CHECKING:
    import torch

    from hf_assets.models.vae import Vae

COUNT = 8
SIDE_PX = 256
# A clip that is larger isn't kept in memory to be decoded.
MAX_VALUES = 1 << 26


class Pair(NamedTuple):
    """An original and its decoded latent, as a person compares them."""

    key: str
    psnr_db: float
    original: Image.Image
    decoded: Image.Image


class DecodedSamples:
    """Collects the samples to show while they are encoded; then `decode` draws them.

    Args:
        root: metadata folder of the dataset.
        wanted: keys of the latents to show.
    """

    def __init__(self, root: Location, wanted: Iterable[str]) -> None:
        self.folder = folder.decoded(root)
        self.wanted = frozenset(wanted)
        self.taken: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @staticmethod
    def of(root: Location, keys: pa.ChunkedArray) -> frozenset[str]:
        """The latents to show that aren't drawn yet.

        Args:
            keys: of all latents of the dataset.
        """
        return frozenset(key for key in chosen_keys(keys) if not _path(folder.decoded(root), key).exists())

    def offer(self, key: str, pixels: "torch.Tensor", latents: "torch.Tensor") -> None:
        """Keep a sample if it is one to show.

        Args:
            pixels: (3, H, W) or (3, F, H, W) uint8; what else it may be, such as audio, is not shown.
            latents: without a batch axis.
        """
        if key in self.wanted and str(pixels.dtype) == "torch.uint8" and pixels.numel() <= MAX_VALUES:
            self.taken[key] = (pixels.cpu().clone(), latents.cpu().clone())  # both lie in memory that is used again

    def decode(self, vae: "Vae", say: Callable[[str], None]) -> None:
        """Decode what was kept. It is decoration: where that fails, the run says so and goes on without."""
        for key, (pixels, latents) in self.taken.items():
            try:
                decoded = vae.decode(latents[None])[0].cpu()
                if decoded.shape != pixels.shape:  # some autoencoders of videos give back fewer frames
                    pixels, decoded = _same_frames(pixels, decoded)
                psnr_db = numbers.psnr_db(pixels.numpy(), decoded.numpy())
                _write(_path(self.folder, key), _picture(pixels), _picture(decoded), psnr_db)
            except Exception as error:  # whatever a decoder does that nobody tried: the latents are stored and right
                say(f"no picture of decoded latents: {type(error).__name__}: {str(error).splitlines()[:1]}")
                return


def chosen_keys(keys: pa.Array | pa.ChunkedArray) -> list[str]:
    """The keys of the latents to show."""
    distinct = pc.unique(keys)
    found: list[str] = distinct.take(pc.select_k_unstable(distinct, COUNT, [("", "ascending")])).to_pylist()
    return found


def pairs(root: Location, keys: Iterable[str]) -> list[Pair]:
    """What was drawn of these latents, in the order of the keys."""
    found = []
    for key in keys:
        try:
            with Image.open(BytesIO(_path(folder.decoded(root), key).read_bytes())) as image:
                image.load()
                facts: dict[str, Any] = json.loads(image.info["comment"])
                middle = image.width // 2
                halves = [image.crop((left, 0, left + middle, image.height)) for left in (0, middle)]
                found.append(Pair(key, float(facts["psnr_db"]), *halves))
        except (OSError, SyntaxError, ValueError, KeyError, TypeError):
            continue
    return found


def _path(place: Location, key: str) -> Location:
    return place / f"{key}.jpg"


def _write(path: Location, original: Image.Image, decoded: Image.Image, psnr_db: float) -> None:
    one, other = (sheets.thumbnail(picture, SIDE_PX) for picture in (original, decoded))
    both = Image.new("RGB", (2 * one.width, one.height))
    both.paste(one, (0, 0))
    both.paste(other.resize(one.size), (one.width, 0))
    stream = BytesIO()
    both.save(stream, "JPEG", quality=88, comment=json.dumps({"psnr_db": round(psnr_db, 2)}).encode())
    files.write_atomically(path, stream.getvalue())


def _picture(pixels: "torch.Tensor") -> Image.Image:
    """Of a video, the frame in the middle."""
    still = pixels[:, pixels.shape[1] // 2] if pixels.ndim == 4 else pixels
    return Image.fromarray(np.ascontiguousarray(still.permute(1, 2, 0).numpy()))


def _same_frames(pixels: "torch.Tensor", decoded: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """The part that both have; where they differ in more than the number of frames, there is nothing to compare."""
    if pixels.ndim == 3 and decoded.ndim == 4:
        pixels = pixels[:, None]
    count = min(pixels.shape[1], decoded.shape[1])
    pixels, decoded = pixels[:, :count], decoded[:, :count]
    if pixels.shape != decoded.shape:
        raise StoreError(f"decoded {tuple(decoded.shape)} of {tuple(pixels.shape)}")
    return pixels, decoded
