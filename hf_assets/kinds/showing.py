"""What is seen of media while they are decoded for the encoder."""

from typing import Protocol

import numpy as np

# Samples of one channel, -1 to 1, and how many of them make a second.
Sound = tuple[np.ndarray, int]


class Show(Protocol):
    """Takes a picture by which a person knows a medium."""

    def __call__(self, picture: np.ndarray, sound: Sound | None = None, /) -> None:
        """Take it: it isn't kept as it is, and nothing that goes wrong with it may be raised.

        Args:
            picture: (H, W, 3) uint8, RGB, of any size: an image, some frames on one sheet, or a drawing of sound.
            sound: what is heard of it.
        """
        ...
