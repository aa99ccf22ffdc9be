"""The first config of somebody who has a folder, or the name of a dataset, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_assets.cli import app
from hf_assets.config import loading

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
        (("deep/a.mp4", "b.mp4", "poster.jpg"), (), {"dataset_type": "video", "resolution": 480}),
        (("a.wav",), (), {"dataset_type": "audio"}),
        (("a.jpg",), ("--id", "cars", "--resolution", "512"), {"id": "cars", "resolution": 512}),
    ],
)
def test_what_lies_in_the_folder_decides(names: tuple[str, ...], arguments: tuple[str, ...], expected: Any) -> None:
    media(*names)
    assert init("my photos", *MODEL, *arguments).exit_code == 0
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
    done = init("set", *MODEL)
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
        (("my photos", "--id", "a b"), 2, 'datasets.json: datasets[0].id: is "a b"'),
        ((), 2, "source is missing: `hf-assets init FOLDER --family sdxl`, for example"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    media("a.jpg")
    Path("empty").mkdir()
    done = init(*arguments)
    assert (done.exit_code, said in done.stderr, done.stderr.count("\n")) == (code, True, 1), done.output
    assert not Path("datasets.json").exists()


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
    assert init("my photos", "--id", "one", "--model", "./none").exit_code == 0
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
