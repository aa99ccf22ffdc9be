import pytest
import torch

from hf_assets.store import packing

A, B, PAD = [1.0] * 200, [2.0] * 200, [0.0] * 200
FLOAT8 = torch.float8_e4m3fn


def rows(*values):
    return torch.tensor(values)


@pytest.mark.parametrize(
    ("tensor", "stored_shape", "ranges"),
    [
        (rows(A, B, PAD, PAD), (2, 200), [0, 4, 0, 2]),  # padded on the right
        (rows(PAD, PAD, A, B), (2, 200), [0, 4, 2, 4]),  # on the left
        (rows(A, PAD, PAD, B), (2, 200), [0, 4, 0, 1, 3, 4]),  # in the middle, as Krea 2 is
        (rows(PAD, PAD), (1, 200), [0, 2, 0, 1]),  # nothing but padding: one position stays
        (torch.stack([rows(A, PAD), rows(B, PAD)]), (2, 1, 200), [1, 2, 0, 1]),  # layers first
        (torch.stack([rows(A, B), rows(PAD, PAD)]), (1, 2, 200), [0, 2, 0, 1]),
        (torch.tensor([1] * 10 + [0] * 500), (10,), [0, 510, 0, 10]),  # a mask
    ],
)  # fmt: skip
def test_zeros_are_not_stored_and_come_back(tensor, stored_shape, ranges):
    packed = packing.pack({"prompt_embeds": tensor}).tensors
    assert packed["prompt_embeds"].shape == stored_shape
    assert packed["prompt_embeds.kept"].tolist() == ranges
    restored = packing.unpack(packed)
    assert restored.keys() == {"prompt_embeds"}
    assert torch.equal(restored["prompt_embeds"], tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        rows(A, B),
        torch.tensor([0.0, 1.0] * 300),  # zeros among the values of one position
        rows([1.0, 0.0], [0.0, 0.0]),  # less saved than it takes to say
        torch.tensor(3.0),
        torch.zeros(0, 4),
        torch.tensor([float("nan")] * 300),
    ],
)
def test_what_saves_nothing_is_stored_as_it_is(tensor):
    packed = packing.pack({"pooled": tensor}).tensors
    assert packed.keys() == {"pooled"}
    torch.testing.assert_close(packing.unpack(packed)["pooled"], tensor, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("mask", [[1, 1, 0, 0], [0, 0, 1, 1], [True, False, False, True], [1.0, 0.0, 0.0, 0.0]])
def test_positions_that_a_mask_excludes_come_back_as_zeros(mask):
    embeds, kept = torch.rand(4, 300) + 1, torch.tensor(mask)
    tensors = {"prompt_embeds": embeds, "prompt_attention_mask": kept}
    packed = packing.pack(tensors, masks={"prompt_embeds": "prompt_attention_mask"}).tensors
    assert len(packed["prompt_embeds"]) == int(kept.bool().sum())
    restored = packing.unpack(packed)
    assert torch.equal(restored["prompt_embeds"], torch.where(kept.bool()[:, None], embeds, 0.0))
    assert torch.equal(restored["prompt_attention_mask"], kept)
    assert restored["prompt_attention_mask"].dtype == kept.dtype
    assert torch.equal(packing.unpack(packing.pack(tensors).tensors)["prompt_embeds"], embeds)  # no mask: all stored


def test_whole_numbers_take_a_byte_where_they_fit():
    for numbers, dtype in ((torch.ones(4096, dtype=torch.int64), torch.int8), (torch.arange(1, 4096), torch.int64)):
        packed = packing.pack({"ids": numbers}).tensors
        assert packed["ids"].dtype == dtype
        restored = packing.unpack(packed)["ids"]
        assert torch.equal(restored, numbers)
        assert restored.dtype == torch.int64


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e5])  # also what float8 alone couldn't hold
def test_float8_keeps_three_bits_of_each_value_and_says_what_is_lost(size):
    embeds = (torch.randn(64, 64, generator=torch.manual_seed(0)) * size).to(torch.bfloat16)
    packed = packing.pack({"prompt_embeds": embeds, "text_ids": embeds}, dtype=FLOAT8)
    assert packed.tensors["prompt_embeds"].dtype == FLOAT8
    assert packed.tensors["text_ids"].dtype == torch.bfloat16  # coordinates keep their type
    restored = packing.unpack(packed.tensors)["prompt_embeds"]
    assert restored.dtype == torch.bfloat16
    lost = (restored.double() - embeds.double()).norm() / embeds.double().norm()
    assert (packed.error / packed.norm) ** 0.5 == pytest.approx(float(lost))
    assert 0.01 < lost < 0.04  # half of the last of 3 bits is at most 1/16


def test_a_stored_type_of_its_own_is_the_type_that_is_read():
    packed = packing.pack({"prompt_embeds": torch.rand(4, 4)}, dtype=torch.bfloat16)
    assert packing.unpack(packed.tensors)["prompt_embeds"].dtype == torch.bfloat16
    assert 0 < packed.error < packed.norm * 1e-4
    assert packing.pack({"prompt_embeds": torch.rand(4, 4)}).error == 0
