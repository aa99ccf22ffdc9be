"""Where in a file's text a JSON path such as `datasets[0].crop` stands: of JSON, and of YAML."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

# A text, a bracket, a comma or colon, or any other value.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
MERGE_TAG = "tag:yaml.org,2002:merge"


class Place(NamedTuple):
    """A place in a text, counted from 1, in characters."""

    line: int
    column: int


class Node(NamedTuple):
    """A value and what is in it.

    Attributes:
        at: where it begins.
        children: by key or index: where the key or the item stands, and the value.
        repeated: the keys that stand in it more than once.
    """

    at: Place
    children: dict[str | int, tuple[Place, "Node"]]
    repeated: list[str]

    def add(self, key: str | int, at: Place, value: "Node") -> None:
        """Add a child; the last of a key is the one that counts."""
        if isinstance(key, str) and key in self.children:
            self.repeated.append(key)
        self.children[key] = (at, value)


def find(node: Node, path: str) -> Place:
    """Where a path stands: its key, or its item of a list. What is missing: the object or list that lacks it."""
    rest = path
    while rest:
        # keys may hold dots and brackets: the longest that fits is meant
        for key in sorted(node.children, key=lambda key: len(str(key)), reverse=True):
            step = f"[{key}]" if isinstance(key, int) else key
            if rest == step:
                return node.children[key][0]
            if rest.startswith((f"{step}.", f"{step}[")):
                node, rest = node.children[key][1], rest[len(step) :].removeprefix(".")
                break
        else:
            break
    return node.at


def of_json(text: str) -> Node:
    """The places of all values of a JSON text that `json` reads."""
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    top = Node(Place(1, 1), {}, [])
    open_nodes = [(top, False)]  # and whether each is an object
    key: tuple[str, Place] | None = None  # the one whose value comes next
    for token in TOKEN.finditer(text):
        word = token[0]
        if word in ",:":
            continue
        if word in "]}":
            open_nodes.pop()
            continue
        line = bisect_right(starts, token.start())
        at = Place(line, token.start() - starts[line - 1] + 1)
        parent, is_object = open_nodes[-1]
        if is_object and key is None:
            key = (json.loads(word), at)
            continue
        node = Node(at, {}, [])
        name, place = key or (len(parent.children), at)
        parent.add(name, place, node)
        key = None
        if word in "{[":
            open_nodes.append((node, word == "{"))
    return top.children[0][1]


def of_yaml(text: str, document: int = 0) -> Node:
    """The places of all values of one document of a YAML text.

    Raises:
        IndexError: there are fewer documents.
    """
    return _of_yaml(list(yaml.compose_all(text, Loader=yaml.SafeLoader))[document], {})


def repeated_keys(node: Node, path: str = "", seen: set[int] | None = None) -> Iterator[str]:
    """The paths of keys that stand more than once in one object; of an object with aliases, by its first."""
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    yield from (child_path(path, key) for key in node.repeated)
    for key, (_, child) in node.children.items():
        yield from repeated_keys(child, child_path(path, key), seen)


def child_path(path: str, key: str | int) -> str:
    """The path of a key, or of an item, of what stands at a path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _of_yaml(composed: Any, known: dict[int, Node]) -> Node:
    """A node of PyYAML's; `known` holds those that were met, since an alias stands for a node elsewhere."""
    if id(composed) in known:
        return known[id(composed)]
    node = known[id(composed)] = Node(_place(composed), {}, [])
    if isinstance(composed, yaml.SequenceNode):
        for index, item in enumerate(composed.value):
            node.add(index, _place(item), _of_yaml(item, known))
    elif isinstance(composed, yaml.MappingNode):
        for key, value in composed.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE_TAG:
                node.add(key.value, _place(key), _of_yaml(value, known))
        for key, value in composed.value:
            if key.tag == MERGE_TAG:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    node.children.update(_of_yaml(merged, known).children | node.children)
    return node


def _place(composed: Any) -> Place:
    return Place(composed.start_mark.line + 1, composed.start_mark.column + 1)
