"""Turns plain objects (what YAML and JSON decode to) into msgspec Structs, and back, finding every mistake.

msgspec.convert stops at the first mistake; an operator wants the whole list. So the Structs' fields are walked here,
and msgspec converts the leaves. What was read is also kept by path, so that checks across objects (duplicates, say)
run over everything that could be read, even when something else in the document is wrong.
Knows no key of any document, and neither files nor HTTP.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import (
    Annotated, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, Union, get_args, get_origin, runtime_checkable
)

import msgspec

Path: TypeAlias = tuple[str | int, ...]
T = TypeVar("T")
NOT_YET = "not supported yet"
LATER = "LATER"
"""The ClassVar of a Struct with the keys that the contract names and that no code stands behind yet."""

NUMBER_OR_NAME = "A number, or the name of one that has none in this range"
"""The description of a number of which some outside its range go by a name, in its extra["named"]."""
_DPID_DESCRIPTION = "A datapath id: 0x and up to 16 hexadecimal digits, exactly 16 of them, or a number"
DpidKey: TypeAlias = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        extra={"dpid": True},
        description=_DPID_DESCRIPTION,
    ),
]
"""A datapath id: an int inside, see `parse_dpid` for what is read."""
_DPID = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9a-fA-F]{16}")


@runtime_checkable
class TextLeaf(Protocol):
    """A value written as one text; `parse` raises ValueError with what is wrong."""

    @classmethod
    def parse(cls, text: str) -> TextLeaf:
        ...


def parse_dpid(text: str) -> int:
    """'0x' and up to 16 hexadecimal digits, or exactly 16 of them (as we write them); else ValueError."""
    if not _DPID.fullmatch(text) or not int(text, 16):
        raise ValueError(f"{text!r} is not a datapath id; write 0x and up to 16 hexadecimal digits, not all zero")
    return int(text, 16)


def format_dpid(dpid: int) -> str:
    """As shown outside: 16 hexadecimal digits."""
    return f"{dpid:016x}"


def format_path(path: Path) -> str:
    """tenants[0].logical_switches[1].name"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


@dataclass(slots=True)
class Reading(Generic[T]):
    """What reading a document gave: a value unless something is wrong, and what was found where."""

    value: T | None = None
    found: dict[Path, object] = field(default_factory=dict)
    """Every part that could be read, by path: leaves, lists and whole Structs, in document order."""
    faults: list[tuple[Path, str]] = field(default_factory=list)
    places: dict[Path, int] = field(default_factory=dict)
    """Every path that the document holds, and when it was come to."""

    def fault(self, path: Path, what: str) -> None:
        """Note that what stands at `path` is wrong."""
        self.places.setdefault(path, len(self.places))
        self.faults.append((path, what))

    def mistakes(self) -> list[tuple[str, str]]:
        """All faults in document order."""
        ordered = sorted(self.faults, key=lambda fault: self.places[fault[0]])
        return [(format_path(path), what) for path, what in ordered]


class _Failed:
    """The type of FAILED: this part has a fault, which is noted already."""


_FAILED = _Failed()


def read(struct: type[T], document: object, path: Path = ()) -> Reading[T]:
    """Read `document` as a `struct`."""
    reading: Reading[T] = Reading()
    value = _read(reading, struct, document, path)
    if isinstance(value, struct):
        reading.value = value
    return reading


def _read(reading: Reading[Any], annotation: Any, document: object, path: Path) -> object:
    reading.places.setdefault(path, len(reading.places))
    kind, metas = _strip(annotation)
    if get_origin(kind) in (Union, UnionType) and type(None) in get_args(kind):
        if document is None:
            return None
        kinds = [arg for arg in get_args(kind) if arg is not type(None)]
        if len(kinds) == 1:
            return _read(reading, kinds[0], document, path)
    if get_origin(kind) is tuple:
        value = _read_list(reading, get_args(kind)[0], document, path)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        value = _read_struct(reading, kind, document, path)
    else:
        value = _read_leaf(reading, annotation, kind, metas, document, path)
    if value is not _FAILED:
        reading.found[path] = value
    return value


def _read_struct(reading: Reading[Any], struct: type[msgspec.Struct], document: object, path: Path) -> object:
    if not isinstance(document, Mapping):
        reading.fault(path, f"expected an object with keys, got {_shown(document)}")
        return _FAILED
    fields = _fields(struct)
    later: frozenset[str] = getattr(struct, LATER, frozenset())
    values: dict[str, object] = {}
    has_later = False
    for key, part in document.items():
        if key in later:
            has_later = True
            reading.fault((*path, key), NOT_YET)
        elif key not in fields:
            close = get_close_matches(str(key), list(fields), n=1)
            reading.fault((*path, str(key)), "unknown key" + (f"; did you mean {close[0]}?" if close else ""))
        else:
            values[fields[key].name] = _read(reading, fields[key].type, part, (*path, key))
    if not has_later:
        for name, each in fields.items():
            if each.required and name not in document:
                reading.fault((*path, name), "is missing")
    failed = len(document) != len(values) or any(value is _FAILED for value in values.values())
    missing = any(each.required and each.name not in values for each in fields.values())
    return _FAILED if failed or missing else struct(**values)


def _read_list(reading: Reading[Any], annotation: Any, document: object, path: Path) -> object:
    if not isinstance(document, (list, tuple)):
        reading.fault(path, f"expected a list, got {_shown(document)}")
        return _FAILED
    parts = tuple(_read(reading, annotation, part, (*path, number)) for number, part in enumerate(document))
    return _FAILED if any(part is _FAILED for part in parts) else parts


def _read_leaf(
    reading: Reading[Any], annotation: Any, kind: Any, metas: dict[str, Any], document: object, path: Path
) -> object:
    try:
        if isinstance(kind, type) and issubclass(kind, TextLeaf):
            return kind.parse(msgspec.convert(document, str))
        if get_origin(kind) is Literal and isinstance(document, str) and document not in get_args(kind):
            raise ValueError(f"{document!r} is not one of {', '.join(get_args(kind))}")
        if metas.get("dpid") and isinstance(document, str):
            return parse_dpid(document)
        if isinstance(document, str) and document in metas.get("named", {}):
            return metas["named"][document]
        value = msgspec.convert(document, annotation)
        if metas.get("dpid") and isinstance(value, int) and value >> 64:
            raise ValueError(f"{value} has more than 64 bits")
        limit = metas.get("max_bytes")
        if limit is not None and isinstance(value, str) and len(value.encode()) > limit:
            raise ValueError(f"{value!r} is longer than {limit} bytes")
        return value
    except msgspec.ValidationError as error:
        what = str(error).split(" - at `")[0]
        if "rule" in metas and isinstance(document, str):
            what = metas["rule"]
        what = what[:1].lower() + what[1:].replace("`", "")
        if "named" in metas and isinstance(document, str):
            what = f"expected a number or {', '.join(metas['named'])}"
        if what.startswith("expected str, got") and isinstance(document, (bool, int, float)):
            what += "; put it in quotes"
        reading.fault(path, what if ", got" in what else f"{what}, got {_shown(document)}")
    except ValueError as error:
        reading.fault(path, str(error))
    return _FAILED


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """A Struct's fields by key; msgspec works them out anew at each call."""
    return {each.encode_name: each for each in msgspec.structs.fields(struct)}


def _strip(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """The type without its Annotated, and what its Meta says to us."""
    extra: dict[str, Any] = {}
    while get_origin(annotation) is Annotated:
        annotation, *metas = get_args(annotation)
        for meta in metas:
            if isinstance(meta, msgspec.Meta):
                extra.update(meta.extra or {})
    return annotation, extra


def _shown(document: object) -> str:
    """A value as a mistake quotes it: short, and as YAML and JSON write it."""
    if document is None:
        return "nothing"
    if isinstance(document, bool):
        return str(document).lower()
    if isinstance(document, Mapping):
        return "an object"
    if isinstance(document, (list, tuple)):
        return "a list"
    text = repr(document)
    return text if len(text) <= 60 else text[:57] + "..."


def plain(value: object, annotation: Any = None) -> object:
    """The plain object that reads as `value`: what the HTTP API answers. Absent parts are left out."""
    kind, metas = _strip(annotation)
    if get_origin(kind) in (Union, UnionType):
        kinds = [arg for arg in get_args(kind) if arg is not type(None)]
        return plain(value, kinds[0]) if value is not None and len(kinds) == 1 else value
    if isinstance(value, msgspec.Struct):
        parts = {key: (getattr(value, each.name), each.type) for key, each in _fields(type(value)).items()}
        return {name: plain(part, hint) for name, (part, hint) in parts.items() if part is not None}
    if isinstance(value, tuple):
        return [plain(part, get_args(kind)[0]) for part in value]
    if metas.get("dpid") and isinstance(value, int):
        return format_dpid(value)
    for name, number in metas.get("named", {}).items():
        if value == number:
            return name
    return str(value) if isinstance(value, TextLeaf) else value


def json_schemas(structs: list[type[msgspec.Struct]]) -> dict[str, Any]:
    """JSON Schemas of `structs` and of all they hold, by name, for #/components/schemas/ of an OpenAPI page."""
    _, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    texts = {leaf.__name__ for struct in structs for leaf in _text_leaves(struct)}
    schemas: dict[str, Any] = _as_written(components)
    return {name: {"title": name, "type": "string"} if name in texts else each for name, each in schemas.items()}


def _text_leaves(annotation: Any) -> set[type]:
    kind, _ = _strip(annotation)
    if isinstance(kind, type) and issubclass(kind, TextLeaf):
        return {kind}
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    parts = [each.type for each in _fields(kind).values()] if is_struct else get_args(kind)
    return set().union(*(_text_leaves(part) for part in parts))


def _as_written(schema: Any) -> Any:
    """A JSON Schema in which a datapath id is what `parse_dpid` reads, and not the int it becomes, and a number that
    may go by a name may."""
    if isinstance(schema, dict):
        if schema.get("description") == NUMBER_OR_NAME:
            number = {key: part for key, part in schema.items() if key != "description"}
            return {"description": NUMBER_OR_NAME, "anyOf": [number, {"type": "string", "pattern": "^[A-Z]+$"}]}
        if schema.get("description") == _DPID_DESCRIPTION:
            text = {"type": "string", "pattern": f"^({_DPID.pattern})$"}
            return {"description": _DPID_DESCRIPTION, "anyOf": [text, {"type": "integer", "minimum": 1}]}
        return {key: _as_written(part) for key, part in schema.items()}
    return [_as_written(part) for part in schema] if isinstance(schema, (list, tuple)) else schema
