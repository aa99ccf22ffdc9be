"""SimpleTuner trains from an export without encoding anything."""

import json
from pathlib import Path

import pytest
import torch

from hf_assets.errors import ModelError, StoreError
from hf_assets_tests.export.sets import Photo, TinySet, latents_of, photos
from hf_assets_tests.export.simpletuner_reader import Caches

NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    return TinySet(tmp_path_factory.mktemp("sdxl"), repeats=3, probability=0.25, vae_cache_clear_each_epoch=True)


def read(out: Path, family: str = "sdxl") -> Caches:
    return Caches(out / "multidatabackend.json", "photos", family)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_sample_is_pulled_with_our_tensors(sdxl: TinySet, tmp_path: Path, batch_size: int) -> None:
    samples = [*photos(*NAMES), Photo("wide", ("one more",), (4, 8, 16), (128, 64))]
    sdxl.write(samples)
    sdxl.export("simpletuner", tmp_path)
    seen = {}
    for files, latents, texts in read(tmp_path).batches(batch_size):
        assert texts["prompt_embeds"].shape[:2] == (len(files), 77)
        for number, file in enumerate(files):
            seen[file] = latents[number], texts["prompt_embeds"][number], texts["pooled_prompt_embeds"][number]
    from hf_assets.training import TrainingSet

    training = TrainingSet.open(sdxl.recipe.folders.metadata)
    assert len(seen) == len(training) == len(samples)
    for sample in (training[index] for index in range(len(training))):
        latents, embeds, pooled = seen[sample["file"]]
        assert torch.equal(latents, sample["latents"])
        assert torch.equal(embeds, sample["prompt_embeds"])
        assert torch.equal(pooled, sample["pooled_prompt_embeds"])


def test_shapes_of_one_rounded_aspect_are_different_buckets(sdxl: TinySet, tmp_path: Path) -> None:
    shapes = [((4, 8, 8), (64, 64)), ((4, 16, 16), (128, 128)), ((4, 24, 24), (192, 192)), ((4, 8, 16), (128, 64))]
    sdxl.write([Photo(f"{number}", ("words",), *shape) for number, shape in enumerate(shapes)])
    sdxl.export("simpletuner", tmp_path)
    caches = read(tmp_path)
    assert list(caches.buckets) == ["1.0", "1.00001", "1.00002", "2.0"]
    assert [round(float(name), 2) for name in caches.buckets] == [1.0, 1.0, 1.0, 2.0]
    assert all(caches.metadata[file]["aspect_ratio"] == float(name) for name, (file,) in caches.buckets.items())


def test_rows_that_are_left_out_leave_gaps(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one", "two"), first_row=1, gaps=[2])
    sdxl.export("simpletuner", tmp_path)
    caches = read(tmp_path)
    rows = caches.rows(tmp_path / "cache")
    assert rows.to_list() == [
        {"image": None, "caption": None},
        {"image": None, "caption": "a photo of one"},
        {"image": None, "caption": None},
        {"image": None, "caption": "a photo of two"},
    ]
    assert caches.captions == {"1.jpg": "a photo of one", "3.jpg": "a photo of two"}
    assert torch.equal(caches.latents("3.jpg"), latents_of(photos("two")[0], torch.float32))


def test_what_the_trainer_knows_of_a_sample(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write([Photo("one", ("first", "second"), (4, 8, 16), (128, 64))])
    sdxl.export("simpletuner", tmp_path)
    caches = read(tmp_path)
    assert caches.metadata["0.jpg"] == {
        "original_size": [128, 64],
        "aspect_ratio": 2.0,
        "intermediary_size": [128, 64],
        "crop_coordinates": [0, 0],
        "target_size": [128, 64],
    }
    assert caches.captions == {"0.jpg": ["first", "second"]}
    assert caches.embeds("second")["prompt_embeds"].shape == (1, 77, 72)


def test_the_empty_caption_is_what_the_encoder_gives(sdxl: TinySet, tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    sdxl.write(photos("one"))
    sdxl.export("simpletuner", tmp_path)
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl.root / "model")
    fresh, _, pooled, _ = pipeline.encode_prompt("", do_classifier_free_guidance=False)
    found = read(tmp_path).embeds("")
    assert torch.allclose(found["prompt_embeds"], fresh, atol=1e-5)
    assert torch.allclose(found["pooled_prompt_embeds"], pooled[0], atol=1e-5)


def test_without_an_embed_of_the_empty_caption_it_says_what_to_do(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one"), has_empty=False)
    with pytest.raises(StoreError, match=r"has no embed of the empty caption, .* with `hf-assets run photos`"):
        sdxl.export("simpletuner", tmp_path)


def test_the_config_takes_over_how_often_and_nothing_that_deletes(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one"))
    sdxl.export("simpletuner", tmp_path)
    entry = read(tmp_path).entry
    assert (entry["repeats"], entry["probability"]) == (3, 0.25)
    assert "vae_cache_clear_each_epoch" not in entry
    assert {Path(entry[key]).is_absolute() for key in ("cache_dir", "cache_dir_vae", "dataset_name")} == {True}


def test_another_probability_writes_the_config_and_no_generation(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one"))
    before = sdxl.export("simpletuner", tmp_path)
    other = TinySet(sdxl.root, probability=0.5)
    try:
        after = other.export("simpletuner", tmp_path)
        assert (after.version, after.computed, after.bytes_written) == (before.version, 0, 0)
        assert read(tmp_path).entry["probability"] == 0.5
    finally:
        sdxl.write_config()


def test_datasets_of_one_folder_stand_in_one_config(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one"))
    sdxl.export("simpletuner", tmp_path)
    other = TinySet(sdxl.root, id="drawings")
    try:
        other.write(photos("two"))
        other.export("simpletuner", tmp_path)
    finally:
        sdxl.write_config()
    entries = json.loads((tmp_path / "multidatabackend.json").read_text())
    assert [entry["id"] for entry in entries] == ["drawings", "photos", "text-drawings", "text-photos"]
    assert [entry.get("default") for entry in entries] == [None, None, True, False]


def test_a_dataset_whose_export_was_killed_at_the_end_is_left_out_until_its_next(sdxl: TinySet, tmp_path: Path) -> None:
    def ids() -> list[str]:
        return [entry["id"] for entry in json.loads((tmp_path / "multidatabackend.json").read_text())]

    sdxl.write(photos("one"))
    sdxl.export("simpletuner", tmp_path)
    (tmp_path / ".entries/photos.json").unlink()  # written when the folder already leads to the generation
    other = TinySet(sdxl.root, id="drawings")
    try:
        other.write(photos("two"))
        other.export("simpletuner", tmp_path)
    finally:
        sdxl.write_config()
    assert ids() == ["drawings", "text-drawings"]
    assert sdxl.export("simpletuner", tmp_path).computed == 0
    assert ids() == ["drawings", "photos", "text-drawings", "text-photos"]


# family -> shape of latents, and name -> shape of the text of one caption
FORMS = {
    "sd15": ("sd1x", (4, 8, 8), {"prompt_embeds": (1, 77, 32)}),
    "flux": (
        "flux",
        (16, 8, 8),
        {
            "prompt_embeds": (1, 512, 32),
            "pooled_prompt_embeds": (32,),
            "time_ids": (1, 512, 3),
            "attention_masks": (1, 512),
        },
    ),
    "sd3": ("sd3", (16, 8, 8), {"prompt_embeds": (1, 333, 96), "pooled_prompt_embeds": (72,)}),
    "sana": ("sana", (32, 2, 2), {"prompt_embeds": (1, 300, 32), "attention_mask": (300,)}),
    "wan": ("wan", (16, 3, 8, 8), {"prompt_embeds": (1, 512, 32), "attention_masks": (1, 512, 32)}),
    "ltx": ("ltxvideo", (128, 2, 2, 2), {"prompt_embeds": (1, 128, 32), "attention_masks": (1, 128)}),
}
VIDEOS = {"dataset_type": "video", "video_column": "video", "video": {"num_frames": 9}}


@pytest.mark.parametrize("tiny", FORMS)
def test_each_family_is_cached_in_its_own_form(tiny: str, tmp_path: Path) -> None:
    family, shape, texts = FORMS[tiny]
    made = TinySet(tmp_path, tiny, dtype="bfloat16", **(VIDEOS if tiny in ("wan", "ltx") else {}))
    made.write([Photo("one", ("a cat",), shape), Photo("two", ("a dog on a sofa",), shape)])
    made.export("simpletuner", tmp_path / "out")
    caches = read(tmp_path / "out", family)
    file = next(iter(caches.captions))
    dtype = torch.float32 if tiny == "ltx" else torch.bfloat16
    assert torch.equal(caches.latents(file), latents_of(Photo("one", ("a cat",), shape), torch.bfloat16).to(dtype))
    found = caches.embeds("a cat")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == texts
    if tiny == "flux":  # one position for each token, with the end
        assert 1 < found["attention_masks"].sum() < caches.embeds("a dog on a sofa")["attention_masks"].sum() < 512
    if tiny == "wan":
        assert torch.equal(found["attention_masks"], caches.embeds("")["prompt_embeds"])
    assert [len(files) for files, *_ in caches.batches(4)] == [2]


def test_a_family_of_two_names_is_found_by_either(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "pixart")
    made.write([Photo("one", ("a cat",))])
    done = made.export("simpletuner", tmp_path / "out")
    assert done.computed == 1 + 2  # links, and no text twice
    found = [read(tmp_path / "out", family).embeds("a cat") for family in ("pixart_sigma", "pixart")]
    assert [{name: tuple(text[name].shape) for name in text} for text in found] == [
        {"prompt_embeds": (1, 300, 32), "attention_mask": (300,)}
    ] * 2


def test_text_of_any_length_has_a_mask_of_ones(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "qwenimage")
    made.write([Photo("one", ("a cat",), (16, 8, 8))])
    made.export("simpletuner", tmp_path / "out")
    found = read(tmp_path / "out", "qwen_image").embeds("a cat")
    assert found["attention_masks"].tolist() == [[1] * found["prompt_embeds"].shape[1]]


def test_audio_is_cached_with_its_length(tmp_path: Path) -> None:
    audio = {"dataset_type": "audio", "audio_caption_fields": ["caption"]}
    made = TinySet(tmp_path, "acestep", dtype="bfloat16", **audio)
    song = Photo("one", ("a song",), (64, 25))
    made.write([song])
    made.export("simpletuner", tmp_path / "out")
    caches = read(tmp_path / "out", "ace_step")
    found = caches.latents("0.wav")
    assert torch.equal(found["latents"], latents_of(song, torch.bfloat16).T)
    assert found["latent_lengths"].tolist() == 25
    assert caches.metadata["0.wav"]["dataset_type"] == "audio"
    text = caches.embeds("a song")
    assert text["prompt_embeds"].shape[:2] == text["attention_masks"].shape == (1, 256)  # of any caption
    used = text["attention_masks"][0].bool()
    assert 0 < used.sum() < 256
    assert not text["prompt_embeds"][0, ~used].any()


def test_a_family_whose_cached_form_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "hidream")
    made.write([Photo("one", ("a cat",), (16, 8, 8))])
    with pytest.raises(
        ModelError, match=r'family "hidream" \(HiDreamImagePipeline\) is not known here.*known are ace_'
    ):
        made.export("simpletuner", tmp_path / "out")
    assert not (tmp_path / "out" / "photos").exists()


def test_a_family_that_does_not_fit_the_model_is_refused(sdxl: TinySet, tmp_path: Path) -> None:
    sdxl.write(photos("one"))
    other = TinySet(sdxl.root, model={"family": "flux"})
    try:
        with pytest.raises(ModelError, match=r'"flux" caches what FluxPipeline makes.*StableDiffusionXLPipeline'):
            other.export("simpletuner", tmp_path)
    finally:
        sdxl.write_config()
