"""Files of one tensor, to the byte as `torch.save` writes them, in a tenth of its time.

`torch.save` takes 0.2 ms of Python for a tensor, whatever its size, and one thread at a time. Its files of two tensors
of one dtype and shape differ in the tensors' bytes, in the CRC-32 of these, and in an id that is made of the CRC-32 of
all records. So a form is taken from one file, and filled with the bytes of other tensors.

A form is used only where it gives what `torch.save` gives of another tensor, of which each byte is another one. With a
torch that writes other files, each file is `torch.save`'s own.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

Pieces = Sequence["bytes | bytearray | memoryview"]
# Forms that are kept, of about 2 kB each.
NUM_FORMS = 4096
# Of larger tensors the bytes take the time.
LARGE_BYTES = 16 << 20
# The records of a tensor's bytes, and of the id, of which the second half follows from the records' CRC-32.
DATA, ID, ID_DIGITS = b"/data/0", b"/.data/serialization_id", 20
GOLDEN_RATIO, MASK = 0x9E3779B9, (1 << 64) - 1


class Form(NamedTuple):
    """`torch.save`'s file of one dtype and shape, without what is another one's in each tensor's.

    Attributes:
        head: what is before the tensor's bytes.
        tail: what is behind them.
        crcs: of the records that the id is made of; `which` of them is that of the tensor's bytes.
        crc_at, id_crc_at: where the CRC-32 of the tensor's bytes, and of the id, are in `tail`.
        id_at: where the id is in `tail`.
    """

    head: bytes
    tail: bytes
    crcs: tuple[int, ...]
    which: int
    crc_at: tuple[int, ...]
    id_crc_at: tuple[int, ...]
    id_at: int

    def filled(self, data: memoryview) -> Pieces:
        """The file of a tensor that has these bytes."""
        tail, crc, hashed = bytearray(self.tail), zlib.crc32(data), 0
        for one in (*self.crcs[: self.which], crc, *self.crcs[self.which + 1 :]):
            # `c10::hash_combine`, whose hash of a number is that number
            hashed ^= (one + GOLDEN_RATIO + (hashed << 6) + (hashed >> 2)) & MASK
        middle, end = self.id_at + ID_DIGITS, self.id_at + 2 * ID_DIGITS
        tail[middle:end] = b"%0*d" % (ID_DIGITS, hashed)
        _put(tail, self.crc_at, crc)
        _put(tail, self.id_crc_at, zlib.crc32(tail[self.id_at : end]))
        return self.head, data, tail


class TorchFiles:
    """Files of tensors, for several threads at a time.

    Attributes:
        forms: by dtype and shape; None where `torch.save` writes them itself.
    """

    def __init__(self) -> None:
        self.forms: dict[tuple[torch.dtype, torch.Size], Form | None] = {}

    def file_of(self, tensor: "torch.Tensor") -> Pieces:
        """What `torch.load` reads with `weights_only=True`, in pieces of which one is the tensor's own memory.

        Args:
            tensor: on the CPU. Of a view, what it is a view of isn't written.
        """
        key = tensor.dtype, tensor.shape
        if key not in self.forms:
            if len(self.forms) >= NUM_FORMS or tensor.nbytes > LARGE_BYTES:
                return [_saved(tensor)]
            self.forms[key] = _form_of(tensor)
        form = self.forms[key]
        return [_saved(tensor)] if form is None else form.filled(_bytes_of(tensor))


def _saved(tensor: "torch.Tensor") -> memoryview:
    import torch

    buffer = io.BytesIO()
    torch.save(tensor.clone(memory_format=torch.contiguous_format), buffer)
    return buffer.getbuffer()


def _bytes_of(tensor: "torch.Tensor") -> memoryview:
    """Its numbers in order, little-endian; the memory is its own where it is contiguous."""
    import torch

    return tensor.contiguous().flatten().view(torch.uint8).numpy().data


def _form_of(tensor: "torch.Tensor") -> Form | None:
    """The form of tensors like this one, if it gives what `torch.save` gives of another one."""
    form, other = _parsed(_saved(tensor), tensor.nbytes), _another(tensor)
    is_right = form is not None and b"".join(form.filled(_bytes_of(other))) == _saved(other)
    return form if is_right else None


def _another(tensor: "torch.Tensor") -> "torch.Tensor":
    """One of the same form, of which each byte is another one; a truth value's is 0 or 1."""
    import torch

    return (tensor.contiguous().flatten().view(torch.uint8) ^ 1).view(tensor.dtype).view(tensor.shape)


# --- Archives, see section 4.3 of PKWARE's APPNOTE; torch's have a descriptor behind each record


class _Record(NamedTuple):
    """A file in an archive.

    Attributes:
        start: of its bytes in the archive.
        crc_at: where its CRC-32 is, in the archive: in the descriptor behind its bytes, and in the directory.
    """

    name: bytes
    crc: int
    start: int
    crc_at: tuple[int, int]


def _records(archive: memoryview) -> Iterator[_Record]:
    *_, num_records, _, at, _ = struct.unpack_from("<4s4H2LH", archive, len(archive) - 22)
    for _ in range(num_records):
        crc, size, _, name, extra, comment = struct.unpack_from("<3L3H", archive, at + 16)
        (header,) = struct.unpack_from("<L", archive, at + 42)
        start = header + 30 + sum(struct.unpack_from("<2H", archive, header + 26))
        yield _Record(bytes(archive[at + 46 : at + 46 + name]), crc, start, (start + size + 4, at + 16))
        at += 46 + name + extra + comment


def _parsed(saved: memoryview, num_bytes: int) -> Form | None:
    """The form of a file of one tensor, of so many bytes; None where it isn't one of those that are known here."""
    try:
        records = list(_records(saved))
    except struct.error:
        return None
    found: dict[bytes, list[int]] = {DATA: [], ID: []}
    for number, record in enumerate(records):
        name = record.name[record.name.find(b"/") :]
        if name in found:
            found[name].append(number)
    if [len(numbers) for numbers in found.values()] != [1, 1] or found[ID] != [len(records) - 1]:
        return None
    which, last = found[DATA][0], records[-1]
    end = records[which].start + num_bytes
    return Form(
        bytes(saved[: records[which].start]),
        bytes(saved[end:]),
        tuple(record.crc for record in records[:-1]),
        which,
        tuple(at - end for at in records[which].crc_at),
        tuple(at - end for at in last.crc_at),
        last.start - end,
    )


def _put(target: bytearray, places: tuple[int, ...], number: int) -> None:
    for at in places:
        struct.pack_into("<L", target, at, number)
