"""The photographs that lie in scikit-image's wheel, as a dataset that a person keeps: with captions, and some bad rows.

Boxes are (left, upper, right, lower) in pixels of the file.
"""

from functools import cache
from importlib import resources
from io import BytesIO
from typing import NamedTuple

from PIL import Image

JPEG_QUALITY = 92


class Photograph(NamedTuple):
    """A row of the dataset.

    Attributes:
        file: its name in `skimage/data`.
        caption: what is on it; None: nobody has written one yet.
        box: the part that is kept, as a JPEG; None: the file as it is.
        focus: how sharp it is, 1 to 5, judged by eye.
        damaged: the second half of its bytes is lost, as after a broken download.
    """

    file: str
    caption: str | None
    box: tuple[int, int, int, int] | None = None
    focus: float = 5.0
    damaged: bool = False


COFFEE = Photograph("coffee.png", "a cup of coffee")
MOON = Photograph("moon.png", "the grey surface of the moon with one larger crater and many small ones")
MOTORCYCLE = "a red motorcycle in a garage, in front of a wooden bench and shelves with boxes"

# The dataset as it is first: 28 rows, of which 24 can be trained on; the others show what becomes of bad rows.
FIRST = {
    "data/train-00000.parquet": (
        Photograph("astronaut.png", "a smiling astronaut in an orange suit, behind her a flag and a shuttle"),
        Photograph("camera.png", "a man in a black coat looks through a film camera on a tripod, on a wide lawn"),
        COFFEE,
        MOON,
        Photograph("clock_motion.png", "a wall clock, blurred by the motion of the camera", focus=1.0),  # dropped
        Photograph("brick.png", "long grey bricks with light joints, seen at an angle"),
        Photograph("chelsea.png", "a ginger tabby cat with green eyes looks to the side"),
    ),
    "data/train-00001.parquet": (
        Photograph("rocket.jpg", "a white rocket on its launch pad at dusk between steel towers, bright lamps below"),
        Photograph("rocket.jpg", "a white rocket stands upright before a dark blue evening sky", (200, 30, 430, 427)),
        Photograph("coins.png", "twenty-four worn ancient coins in four rows on a dark ground"),
        Photograph("coins.png", "two rows of ancient coins on a dark ground", (0, 0, 384, 150)),
        Photograph("motorcycle_left.png", MOTORCYCLE),
        Photograph("motorcycle_left.png", "the front wheel of a red motorcycle on concrete", (430, 180, 741, 500)),
        Photograph("astronaut.png", "an astronaut", damaged=True),  # quarantined
        Photograph("hubble_deep_field.jpg", "hundreds of distant galaxies in many colours on a black sky"),
        Photograph("hubble_deep_field.jpg", "a strip of black sky with small bright galaxies", (0, 200, 1000, 700)),
    ),
    "data/train-00002.parquet": (
        Photograph("retina.jpg", "the inside of an eye, a round orange disc with branching blood vessels", focus=4.0),
        Photograph("retina.jpg", "red vessels spread from the bright optic nerve of an eye", (0, 400, 700, 1000)),
        Photograph("microaneurysms.png", "spots beside a vessel of a retina", focus=3.0),  # dropped: too small
        Photograph("grass.png", "grass and small leaves on the ground, in grey"),
        Photograph("gravel.png", "grey gravel that covers the ground"),
        Photograph("ihc.png", "brown and blue stained tissue under a microscope"),
        Photograph("ihc.png", "brown stained glands beside pale tissue with blue cell nuclei", (0, 0, 300, 512)),
        Photograph("page.png", "a printed page of a textbook about segmentation, in uneven light"),
        Photograph("cell.png", "one bright round cell on a dark grey ground under a microscope", focus=4.0),
        Photograph("chelsea.png", None, (60, 30, 370, 230)),  # dropped: no caption
        Photograph("astronaut.png", "a portrait of a smiling woman with short brown hair", (130, 0, 330, 300)),
        Photograph("camera.png", "a man with black gloves films with a camera on a tripod", (130, 60, 370, 400)),
    ),
}

# What the second revision brings: a caption and a picture of the first file are edited, and a file is new.
EDITED = {
    COFFEE: COFFEE._replace(caption="an espresso in a red cup on a red saucer with a small spoon, on a wooden table"),
    MOON: MOON._replace(box=(0, 0, 400, 300)),
}
NEW = {
    "data/train-00003.parquet": (
        Photograph("motorcycle_right.png", MOTORCYCLE),  # the caption of another one
        Photograph("coffee.png", "an espresso in a thick red cup, seen from above", (150, 0, 450, 400)),
        Photograph("text.png", "handwritten formulas on ruled paper, seen at an angle", focus=3.0),
        Photograph("chelsea.png", "the face of a ginger tabby cat from close by", (80, 20, 330, 270)),
    ),
}
SECOND = {path: tuple(EDITED.get(row, row) for row in rows) for path, rows in FIRST.items()} | NEW


class Picture(NamedTuple):
    """The bytes of a photograph, and its size in pixels."""

    data: bytes
    width: int
    height: int


@cache
def photo_bytes(photograph: Photograph) -> Picture:
    """Read a photograph from the wheel, and cut it."""
    data = (resources.files("skimage") / "data" / photograph.file).read_bytes()
    image: Image.Image = Image.open(BytesIO(data))
    if photograph.box is not None:
        image = image.crop(photograph.box)
        cut = BytesIO()
        image.save(cut, "JPEG", quality=JPEG_QUALITY)
        data = cut.getvalue()
    return Picture(data[: len(data) // 2] if photograph.damaged else data, *image.size)
