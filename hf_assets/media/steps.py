"""What decoding did beyond the plain case, as a fact of the sample: `icc-1`, or `eoi-1 icc-1`.

`probe` finds it, tables hold it (`schema.DECODING`), and a latent's key has it where there is something. So mending one
step encodes only its samples anew: bump its version here, and the module's `VERSION`, so that media are probed again.
"""

# A step's version changes with what it makes of pixels or samples. Names are frozen: they are part of keys.
VERSIONS = {
    "alpha": 1,  # an animated AVIF with alpha, over white
    "cicp": 1,  # colours given by the code points of ITU-T H.273 (cICP, nclx, a stream's header), converted to sRGB
    "crc": 1,  # a PNG without those chunks in front of its pixels whose checksum is wrong and that it can do without
    "deep": 1,  # a JPEG 2000 of several channels of more than 8 bits
    "delay": 1,  # an MP3 that says how long it is, with another number, and with what its encoder put in front left out
    "eoi": 1,  # a JPEG without its end marker, read as if it were there
    "float": 1,  # colour in floats, brought to 8 bits
    "gama": 1,  # colours given by PNG's gAMA and cHRM, converted to sRGB
    "hd": 1,  # a clip that names no matrix, by that of HD
    "hlg": 1,  # BT.2100 HLG, tone-mapped
    "bits": 1,  # a TIFF's integers of another number of bits than 8, 16, 32 and 64
    "icc": 1,  # an ICC profile that isn't sRGB's, converted to sRGB
    "icc16": 1,  # the same by the profile's own curves and matrix, of more than 8 bits a channel
    "inverted": 1,  # gray of more than 8 bits in which 0 is white
    "links": 1,  # an Ogg of several pieces, one behind the other
    "mpeg": 1,  # an MP3 of small frames and many samples, read in one go
    "page": 1,  # of a TIFF not the first page, which is a smaller copy or a mask
    "pq": 1,  # BT.2100 PQ, tone-mapped
    "range": 1,  # gray of another range than 8 or 16 bits, brought to 8 bits
    "scale": 1,  # floats of which the largest is neither at most 1 nor that of 8 bits
    "trns": 1,  # a PNG of 16 bits a channel in which one colour is transparent
    "xing": 1,  # an MP3 read without the frame that says how long it is, since that is false
}

CONVERTED = ("cicp", "gama", "icc", "icc16")
TONE_MAPPED = ("hlg", "pq")


def note(*steps: str) -> str | None:
    """The steps with their versions, in an order that doesn't depend on theirs; None where there are none."""
    return " ".join(f"{step}-{VERSIONS[step]}" for step in sorted(set(steps))) or None
