"""The pages about the code name what is there."""

import ast
import itertools
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hf_assets"
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
# Modules of one name, whose rooms say which side of one thing they are.
SIDES = {"audio", "buckets", "captions", "image", "training_set", "unit", "video"}
PAGES = ["docs/architecture.md", "CONTRIBUTING.md"]


def bound_in(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The names that statements define, each with what is in it."""
    found: dict[str, list[ast.stmt]] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node.body
        elif isinstance(node, ast.Assign):
            found |= {target.id: [] for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = []
    return found


def exists(name: str) -> bool:
    """Whether a dotted name below the package is a room, a module, or something that one defines."""
    path, names = PACKAGE, name.split(".")
    while names and (path / names[0]).is_dir():
        path = path / names.pop(0)
    if not names:
        return (path / "__init__.py").exists()
    file = path / f"{names.pop(0)}.py"
    if not file.exists():
        return False
    found = bound_in(ast.parse(file.read_text()).body)
    for name in names:
        if name not in found:
            return False
        found = bound_in(found[name])
    return True


def spans(page: str) -> set[str]:
    """The code spans of a page that name a module, a function or a class of ours."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    dotted = re.findall(r"`([a-z_]\w*(?:\.\w+)+)`", text)
    return {name for name in dotted if name.split(".")[0] in ROOMS and not name.endswith((".py", ".md", ".json"))}


@pytest.mark.parametrize("page", PAGES)
def test_each_module_and_function_that_a_page_names_exists(page: str) -> None:
    assert [name for name in sorted(spans(page)) if not exists(name)] == []


def test_the_way_of_a_sample_names_its_functions() -> None:
    assert len(spans("docs/architecture.md")) > 40  # that the pattern finds them


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("stages.filtering.judge", True),
        ("kinds.medium.Medium.probe", True),
        ("stages.filtering.vanished", False),
        ("kinds.medium.Medium.vanished", False),
        ("stages.vanished", False),
    ],
)
def test_a_name_that_is_gone_is_noticed(name: str, there: bool) -> None:
    assert exists(name) is there


@pytest.mark.parametrize("door", sorted(PACKAGE.glob("*/**/__init__.py")), ids=lambda path: path.parent.name)
def test_each_room_says_which_of_its_modules_to_open_first(door: Path) -> None:
    text = ast.get_docstring(ast.parse(door.read_text())) or ""
    first = re.search(r"Open `(\w+)` first", text)
    assert first is not None, f"{door}: write what the room is for, and which module to open first"
    assert (door.parent / f"{first[1]}.py").exists(), f"{door}: there is no module {first[1]}"


@pytest.mark.parametrize("door", sorted(PACKAGE.glob("**/__init__.py")), ids=lambda path: path.parent.name)
def test_each_function_that_a_room_names_exists(door: Path) -> None:
    text = ast.get_docstring(ast.parse(door.read_text())) or ""
    room = ".".join(door.parent.relative_to(PACKAGE).parts)
    named = sorted(set(re.findall(r"`([a-z_]\w*(?:\.\w+)+)`", text)))
    names = [name for name in named if not name.startswith("hf_assets.") and not name.endswith((".json", ".py"))]
    assert [name for name in names if not exists(name) and not exists(f"{room}.{name}")] == []


def rows_of_rooms() -> list[set[str]]:
    """The rooms of each line of the page's first table."""
    text = (ROOT / "docs/architecture.md").read_text().split("## The way of a sample")[0]
    lines = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [set(re.findall(r"`(\w+)`", line)) for line in lines]


def test_the_table_of_rooms_has_all_of_them() -> None:
    assert {room for room in ROOMS if room != "__init__"} == set().union(*rows_of_rooms())


def test_the_table_of_rooms_is_in_the_order_of_the_import_rules() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [[name.removeprefix("hf_assets.") for name in layer.split(" : ")] for layer in rules[0]["layers"]]
    line_of = {room: number for number, rooms in enumerate(rows_of_rooms()) for room in rooms}
    lines = [{line_of[room] for room in layer} for layer in layers]
    assert all(max(above) <= min(below) for above, below in itertools.pairwise(lines))


def test_no_two_modules_have_one_name_for_two_things() -> None:
    names = Counter(path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__")
    assert {name for name, count in names.items() if count > 1} <= SIDES


def test_text_is_read_and_written_as_utf_8_whatever_the_locale() -> None:
    """In the locale C, and in those of a Latin encoding, a page's style would be read as something else."""
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read_text", "write_text")
        and not any(keyword.arg == "encoding" for keyword in node.keywords)
        and not (node.func.attr == "read_text" and node.args)
    ]
    assert not calls
