"""The first config of somebody who has a folder, or the name of a dataset, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_assets.cli import app, starting
from hf_assets.config import loading
from hf_assets_tests import video_files

# Any model: nothing of it is read.
MODEL = ("--family", "sdxl")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["init", *arguments])


def entry() -> dict[str, Any]:
    (found,) = json.loads(Path("datasets.json").read_text())["datasets"]
    assert len(loading.load(Path("datasets.json")).recipes) == 1
    return dict(found)


def media(*names: str, folder: str = "my photos") -> None:
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("nothing is read but the name")


def test_a_folder_of_images_is_captioned_by_its_file_names_and_says_so() -> None:
    media("a_red_car.jpg", "b.PNG")
    done = init("my photos", *MODEL)
    assert done.exit_code == 0, done.output
    assert entry() == {
        "id": "my-photos",
        "type": "local",
        "instance_data_dir": "./my photos",
        "caption_strategy": "filename",
        "resolution": 1024,
        "resolution_type": "pixel_area",
    }
    assert "captions: their file names (a red car, b)" in done.output
    assert {path.name for path in Path().iterdir() if path.is_file()} == {
        "datasets.json",
        "dagster.yaml",
        "workspace.yaml",
        ".gitignore",
    }


@pytest.mark.parametrize(
    ("names", "arguments", "expected"),
    [
        (("a.jpg", "a.txt", "b.jpg"), (), {"caption_strategy": "textfile"}),
        (("a.jpg", "a.Caption"), (), {"caption_strategy": "textfile"}),
        (("a.jpg", "a.TXT"), (), {"caption_strategy": "textfile"}),
        (("a.jpg", "a.txt"), ("--prompt", "a car"), {"caption_strategy": "instanceprompt", "instance_prompt": "a car"}),
        (("deep/a.mp4", "b.mp4", "poster.jpg"), ("--model", "x/y"), {"dataset_type": "video", "resolution": 480}),
        (("a.wav",), ("--model", "x/y"), {"dataset_type": "audio"}),
        (("a.jpg",), ("--id", "cars", "--resolution", "512"), {"id": "cars", "resolution": 512}),
    ],
)
def test_what_lies_in_the_folder_decides(names: tuple[str, ...], arguments: tuple[str, ...], expected: Any) -> None:
    media(*names)
    assert init("my photos", *(() if "--model" in arguments else MODEL), *arguments).exit_code == 0
    found = entry()
    assert {key: found[key] for key in expected} == expected
    assert ("resolution" in found) == (found.get("dataset_type") != "audio")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("image", "text"), {"caption_column": "text"}),
        (("jpg", "caption", "text"), {"image_column": "jpg", "caption_column": "caption"}),
        (("image", "was_sieht_man"), {"caption_column": "was_sieht_man"}),  # the only text
        (("mp4", "prompt"), {"dataset_type": "video", "video_column": "mp4", "caption_column": "prompt"}),
    ],
)
def test_a_dataset_in_the_hubs_layout_is_looked_into(columns: tuple[str, ...], expected: Any) -> None:
    binary = ("image", "jpg", "mp4")
    arrays = {name: pa.array([None], pa.binary() if name in binary else pa.string()) for name in columns}
    Path("set/data").mkdir(parents=True)
    pq.write_table(pa.table(arrays), "set/data/train-00000-of-00001.parquet")
    done = init("set", "--model", "x/y")
    assert done.exit_code == 0, done.output
    found = entry()
    assert found["type"] == "huggingface"
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("photos",), 2, 'there is no folder "photos"; name one, or a dataset on the Hub as user/name'),
        (("empty",), 1, "holds no images, videos or audio"),
        (("my photos/a.jpg",), 2, '"my photos/a.jpg" is a file; name the folder that it lies in, "my photos"'),
        (("my photos", "--family", "sdx"), 2, '--family: is "sdx", which is not known; did you mean "sdxl"?'),
        (("my photos", "--family", "deepfloyd", "--flavour", "ii-large-1.2b"), 2, "it works on pixels and has no VAE"),
        (("my photos", "--family", "flux", "--model", "x/y"), 2, "--family and --model: give one of them"),
        (("my photos", "--caption-column", "text"), 2, "is a folder of media and has no columns"),
        (("my photos", "--id", "a b"), 2, '--id: is "a b"; use letters, digits, _, - and . only: "a-b"'),
        (("my photos", "--model", "sdxl"), 2, '--model: "sdxl" is the name of a family; give --family sdxl'),
        (
            ("my photos", "--model", "../none"),
            2,
            '--model: there is no folder "../none"; name one, or a pipeline on the',
        ),
        (("sounds", "--resolution", "512"), 2, "--resolution: has no effect on audio; leave it out"),
        (
            ("sounds", "--family", "flux"),
            2,
            '--family: is "flux", which makes no audio; name a pipeline by --model, such',
        ),
        (("clips", "--family", "flux"), 2, '--family: is "flux", which makes no videos; use hunyuanvideo, kandinsky5'),
        ((), 2, "source is missing: `hf-assets init FOLDER --family sdxl`, for example"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    media("a.jpg")
    media("a.wav", folder="sounds")
    media("a.mp4", folder="clips")
    Path("empty").mkdir()
    done = init(*arguments)
    assert (done.exit_code, said in done.stderr, done.stderr.count("\n")) == (code, True, 1), done.output
    assert not Path("datasets.json").exists()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("a.jpg", {"family": "sdxl"}),
        ("a.mp4", {"family": "wan"}),
        ("a.wav", {"pretrained_model_name_or_path": "ACE-Step/acestep-v15-base-diffusers"}),
    ],
)
def test_the_model_suits_the_media_where_none_is_named(name: str, model: dict[str, str]) -> None:
    media(name)
    done = init("my photos")
    assert done.exit_code == 0, done.output
    assert json.loads(Path("datasets.json").read_text())["model"] == {**model, "dtype": "bfloat16"}


def test_videos_are_taken_as_long_as_the_shortest_of_them_is() -> None:
    for number, num_frames in enumerate((9, 17)):
        media(f"{number}.mp4")
        Path(f"my photos/{number}.mp4").write_bytes(video_files.clip(number, num_frames))
    done = init("my photos", "--family", "wan")
    assert entry()["video"] == {"num_frames": 9}
    assert "video.num_frames is 9" in done.stdout
    assert "video.num_frames 150" not in done.stdout  # the family's, which it would have been
    assert "video.min_frames as num_frames" in done.stdout


@pytest.mark.parametrize("answers", [("my photos", "sdxl"), ("photos", "my photos", "sdlx", "./model", "")])
def test_questions_are_asked_until_the_answer_is_right(
    answers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    media("a.jpg")
    monkeypatch.setattr(starting, "is_asked", lambda: True)
    done = CliRunner().invoke(app, ["init"], input="".join(f"{answer}\n" for answer in answers))
    assert done.exit_code == 0, done.output
    assert entry()["instance_data_dir"] == "./my photos"
    assert json.loads(Path("datasets.json").read_text())["model"] == {"family": "sdxl", "dtype": "bfloat16"}
    said = ('there is no folder "photos"', 'did you mean "sdxl"?', 'there is no folder "./model"')
    assert [text in done.stderr for text in said] == [len(answers) > 2] * 3


def test_what_is_there_already_stays() -> None:
    media("a.jpg")
    Path(".gitignore").write_text("*.log\ncache")
    Path("dagster.yaml").write_text("telemetry: {enabled: true}\n")
    assert init("my photos", *MODEL).exit_code == 0
    assert Path(".gitignore").read_text() == "*.log\ncache\n.dagster_state/\n.tmp_dagster_home_*/\n"
    assert Path("dagster.yaml").read_text() == "telemetry: {enabled: true}\n"
    before = Path("datasets.json").read_text()
    again = init("my photos", *MODEL)
    assert again.exit_code == 2
    assert "datasets.json is here already" in again.stderr
    assert Path("datasets.json").read_text() == before


def test_a_folder_beside_is_named_relative_to_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    media("a.jpg")
    Path("work").mkdir()
    monkeypatch.chdir("work")
    assert init("../my photos", *MODEL).exit_code == 0
    assert entry()["instance_data_dir"] == "../my photos"


@pytest.mark.parametrize(("named", "written"), [("model", "./model"), ("../model", "../model")])
def test_a_folder_of_a_model_is_written_as_a_path(named: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    media("a.jpg", folder="work/photos")
    Path("model").mkdir()
    Path("work/model").mkdir()
    monkeypatch.chdir("work")
    assert init("photos", "--model", named).exit_code == 0
    assert json.loads(Path("datasets.json").read_text())["model"]["pretrained_model_name_or_path"] == written


@pytest.mark.parametrize("command", ["plan", "check"])
def test_what_is_wrong_with_one_of_several_datasets_names_it(command: str) -> None:
    media("a.jpg")
    assert init("my photos", "--id", "one", "--model", "x/y").exit_code == 0
    config = json.loads(Path("datasets.json").read_text())
    config["datasets"].append(config["datasets"][0] | {"id": "two", "instance_data_dir": "./gone"})
    Path("datasets.json").write_text(json.dumps(config))
    done = CliRunner().invoke(app, [command, "two"])
    assert done.exit_code == 1
    assert done.stderr.startswith('two: instance_data_dir "')


@pytest.mark.parametrize(
    ("command", "said"), [("gc", '"stray_files": [path]'), ("quarantine", 'JSON: {id: [{"row": n')]
)
def test_help_prints_its_brackets(command: str, said: str) -> None:
    assert said in CliRunner().invoke(app, [command, "--help"]).stdout
