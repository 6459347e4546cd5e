"""YAML to plain objects, as strictly as a configuration deserves.

Stricter than yaml.safe_load: a key may stand only once, nothing but plain values is made, and a small text cannot
unfold into a huge document. Integers are as YAML 1.2 has them: 0x1f is hexadecimal, 0017 is text and not octal, so a
datapath id of 16 digits needs no quotes. Knows no key of any document.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from hvproxy.errors import ConfigError
from hvproxy.model.schema import Path, format_path

MAX_NODES = 2_000_000
MAX_DEPTH = 50
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_TAGS = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "!")
_QUOTED = ("'", '"', "|", ">")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "yes": True, "Yes": True, "YES": True, "on": True, "On": True, "ON": True,
    "false": False, "False": False, "FALSE": False, "no": False, "No": False, "NO": False,
    "off": False, "Off": False, "OFF": False,
}
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """A decoded document and the faults that did not keep it from being decoded."""

    value: object = None
    faults: list[tuple[Path, str]] = field(default_factory=list)


class _Unfolding:
    """One walk from nodes to plain objects, counting them."""

    def __init__(self) -> None:
        self.faults: list[tuple[Path, str]] = []
        self._nodes = 0
        self._open: set[int] = set()
        """Ids of the collections the walk is within: one met again holds itself."""

    def value(self, node: yaml.Node, path: Path) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConfigError([(format_path(path), f"the document unfolds to more than {MAX_NODES} values")])
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self.faults.append((path, f"tag {node.tag} is not supported"))
            return None
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise ConfigError([(format_path(path), "an alias stands within what it names")])
        self._open.add(id(node))
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self._open.remove(id(node))
        return value

    def _sequence(self, node: yaml.Node, path: Path) -> object:
        return [self.value(part, (*path, number)) for number, part in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> object:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, part in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                what = "merge keys (<<) are not supported" if isinstance(key_node, yaml.ScalarNode) else "not a key"
                self.faults.append((path, f"line {line}: {what}"))
                continue
            key = str(key_node.value)
            value = self.value(part, (*path, key))
            if key in values:
                self.faults.append(((*path, key), f"line {line}: the key stands already on line {lines[key]}"))
                continue
            values[key], lines[key] = value, line
        return values


def decode(data: bytes | str) -> Document:
    """Decode a YAML text; raises ConfigError when it is no YAML or far too large, with line and column."""
    try:
        _check_depth(data)
        node = yaml.compose(data, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        what = str(error.problem or error.context)
        if what.startswith("but "):
            what = f"{error.context}, {what}"
        raise ConfigError([(_place(error.problem_mark), f"not YAML: {what}")]) from error
    except yaml.YAMLError as error:
        raise ConfigError([("", f"not YAML: {' '.join(str(error).split())}")]) from error
    unfolding = _Unfolding()
    value = None if node is None else unfolding.value(node, ())
    return Document(value, unfolding.faults)


def _check_depth(data: bytes | str) -> None:
    """The composer recurses, so the depth is looked at before it runs."""
    depth = 0
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError([(_place(event.start_mark), f"nested more than {MAX_DEPTH} levels deep")])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.tag.endswith(":str") or node.style in _QUOTED:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""), 0)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Mark(Protocol):
    """A place in the text, of either of yaml's parsers; counted from 0."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


def _place(mark: _Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
