"""Files of tensors are, to the byte, what `torch.save` writes."""

import io
import tarfile
from pathlib import Path

import pytest
import torch

from hf_assets.export import torch_files
from hf_assets.export.torch_files import TorchFiles
from hf_assets_tests.export.sets import TinySet, photos

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float8_e4m3fn, torch.int64, torch.uint8, torch.bool)
SHAPES = ((3, 5), (), (1, 1, 2), (4, 33, 65))


def noise(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 8).to(dtype)


def saved(tensor: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensor.clone(memory_format=torch.contiguous_format), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_form_gives_what_torch_writes(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    files = TorchFiles()
    for seed in range(3):
        tensor = noise(shape, dtype, seed)
        data = b"".join(files.file_of(tensor))
        assert data == saved(tensor)
        read = torch.load(io.BytesIO(data), weights_only=True)
        assert (read.dtype, read.shape) == (dtype, tensor.shape)
        assert read.flatten().view(torch.uint8).equal(tensor.flatten().view(torch.uint8))
    assert files.forms[dtype, tensor.shape] is not None


def test_of_a_view_nothing_else_is_written() -> None:
    files, whole = TorchFiles(), noise((3, 4, 50), torch.bfloat16, 0)
    for view in (*whole, *whole.transpose(1, 2)[:, :4], whole[:, :, :1].transpose(0, 2)[0]):
        assert b"".join(files.file_of(view)) == saved(view)
    assert all(files.forms.values())


def test_an_empty_tensor_is_torch_s_own() -> None:
    files, empty = TorchFiles(), torch.empty(0, 4)
    assert b"".join(files.file_of(empty)) == b"".join(files.file_of(empty)) == saved(empty)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOLDEN_RATIO", 0x9E3779BA),  # the id comes out as another one
        ("_put", lambda target, places, number: None),  # right of the tensor that the form was made from
        ("DATA", b"/data/1"),  # there is no such record
    ],
)
def test_a_form_that_does_not_give_what_torch_writes_is_not_used(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, tensors = TorchFiles(), [noise((3, 5), torch.float32, seed) for seed in range(3)]
    monkeypatch.setattr(torch_files, name, value)
    assert [b"".join(files.file_of(tensor)) for tensor in tensors] == [saved(tensor) for tensor in tensors]
    assert list(files.forms.values()) == [None]


def test_what_torch_writes_by_its_settings_is_written() -> None:
    files, tensors = TorchFiles(), [noise((3, 5), torch.float32, seed) for seed in range(3)]
    torch.serialization.set_crc32_options(False)
    try:
        assert [b"".join(files.file_of(tensor)) for tensor in tensors] == [saved(tensor) for tensor in tensors]
    finally:
        torch.serialization.set_crc32_options(True)
    assert list(files.forms.values()) == [None]


def test_large_tensors_and_more_forms_than_are_kept_are_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_files, "NUM_FORMS", 2)
    monkeypatch.setattr(torch_files, "LARGE_BYTES", 64)
    files = TorchFiles()
    for size in (17, 2, 16, 4, 2):
        tensor = noise((size,), torch.float32, size)
        assert b"".join(files.file_of(tensor)) == saved(tensor)
    assert [shape for _, shape in files.forms] == [(2,), (16,)]


def test_headers_of_tars_are_those_of_tarfile(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "sd15", dtype="bfloat16")
    made.write(photos(*map(str, range(12))))
    made.export("webdataset", tmp_path / "out")
    path = tmp_path / "out/photos/train-00000.tar"
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    assert [member.name for member in members[-4:]] == [
        *("0000000011.latents.pth", "0000000011.prompt_embeds.pth", "0000000011.txt", "0000000011.json")
    ]
    for member in members:
        expected = tarfile.TarInfo(member.name)
        expected.size = member.size
        assert data[member.offset : member.offset_data] == expected.tobuf(tarfile.USTAR_FORMAT)
    assert len(data) % tarfile.RECORDSIZE == 0
