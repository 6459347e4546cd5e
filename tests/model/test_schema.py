from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
import pytest

from hvproxy.model.schema import DpidKey, format_dpid, format_path, json_schemas, parse_dpid, plain, read


@dataclass(frozen=True)
class Pair:
    left: str
    right: str

    @classmethod
    def parse(cls, text: str) -> Pair:
        left, comma, right = text.partition(",")
        if not comma:
            raise ValueError(f"{text!r} has no comma")
        return cls(left, right)

    def __str__(self) -> str:
        return f"{self.left},{self.right}"


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    LATER: ClassVar[frozenset[str]] = frozenset({"soon"})

    dpid: DpidKey
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", extra={"rule": "a name has small letters", "max_bytes": 3})]
    colour: Literal["red", "blue"] = "red"
    pair: Pair | None = None
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    port: int | str = 0
    ratio: float = 0.5


def mistakes(document: object) -> list[tuple[str, str]]:
    reading = read(Outer, document)
    assert (reading.value is None) == bool(reading.faults)
    return reading.mistakes()


FULL = {
    "name": "abc", "colour": "blue", "pair": "l,r", "inner": {"dpid": "0x1f", "size": 2},
    "inners": [{"dpid": 7}, {"dpid": "00000000000000AB"}], "port": "p1", "ratio": 2,
}
VALUE = Outer(
    name="abc", colour="blue", pair=Pair("l", "r"), inner=Inner(dpid=0x1F, size=2),
    inners=(Inner(dpid=7), Inner(dpid=0xAB)), port="p1", ratio=2.0,
)


def test_reads_a_value_and_writes_it_back() -> None:
    assert read(Outer, FULL).value == VALUE
    assert plain(VALUE) == {
        "name": "abc", "colour": "blue", "pair": "l,r", "inner": {"dpid": "000000000000001f", "size": 2},
        "inners": [{"dpid": "0000000000000007", "size": 1}, {"dpid": "00000000000000ab", "size": 1}],
        "port": "p1", "ratio": 2.0,
    }
    assert read(Outer, plain(VALUE)).value == VALUE


def test_absent_parts_have_their_defaults_and_are_not_written() -> None:
    value = Outer(name="a")
    assert read(Outer, {"name": "a"}).value == value
    assert read(Outer, {"name": "a", "inner": None}).value == value
    assert plain(value) == {"name": "a", "colour": "red", "inners": [], "port": 0, "ratio": 0.5}


@pytest.mark.parametrize(("change", "path", "what"), [
    ({"name": "A"}, "name", "a name has small letters, got 'A'"),
    ({"name": "abcd"}, "name", "'abcd' is longer than 3 bytes"),
    ({"name": 5}, "name", "expected str, got int; put it in quotes"),
    ({"name": True}, "name", "expected str, got bool; put it in quotes"),
    ({"name": None}, "name", "expected str, got null"),
    ({"name": ["a"]}, "name", "expected str, got array"),
    ({"colour": "green"}, "colour", "'green' is not one of red, blue"),
    ({"pair": "lr"}, "pair", "'lr' has no comma"),
    ({"pair": 5}, "pair", "expected str, got int; put it in quotes"),
    ({"inner": 5}, "inner", "expected an object with keys, got 5"),
    ({"inner": {}}, "inner.dpid", "is missing"),
    ({"inner": {"dpid": 1, "size": 10}}, "inner.size", "expected int <= 9, got 10"),
    ({"inner": {"dpid": 1, "size": 0}}, "inner.size", "expected int >= 1, got 0"),
    ({"inner": {"dpid": 1, "size": True}}, "inner.size", "expected int, got bool"),
    ({"inner": {"dpid": 1, "size": "2"}}, "inner.size", "expected int, got str"),
    ({"inner": {"dpid": 1, "size": 1.5}}, "inner.size", "expected int, got float"),
    ({"inner": {"dpid": 0}}, "inner.dpid", "expected int >= 1, got 0"),
    ({"inner": {"dpid": 2**64}}, "inner.dpid", "18446744073709551616 has more than 64 bits"),
    ({"inner": {"dpid": "12"}}, "inner.dpid",
     "'12' is not a datapath id; write 0x and up to 16 hexadecimal digits, not all zero"),
    ({"inner": {"dpid": 1, "soon": 1}}, "inner.soon", "not supported yet"),
    ({"inner": {"soon": 1}}, "inner.soon", "not supported yet"),
    ({"inners": {}}, "inners", "expected a list, got an object"),
    ({"inners": "x" * 99}, "inners", f"expected a list, got '{'x' * 56}..."),
    ({"inners": None}, "inners", "expected a list, got nothing"),
    ({"inners": [{"dpid": 1}, [1]]}, "inners[1]", "expected an object with keys, got a list"),
    ({"port": [1]}, "port", "expected int | str, got array"),
    ({"ratio": "much"}, "ratio", "expected float, got str"),
    ({"colours": 1}, "colours", "unknown key; did you mean colour?"),
    ({"zzz": 1}, "zzz", "unknown key"),
    ({5: 1}, "5", "unknown key"),
])
def test_says_where_and_what_is_wrong(change: dict[str, object], path: str, what: str) -> None:
    assert mistakes(FULL | change) == [(path, what)]


def test_lists_every_mistake_in_document_order() -> None:
    assert mistakes({"inners": [{"size": 0}, 3], "zzz": 1, "pair": 1, "colour": 2}) == [
        ("inners[0].size", "expected int >= 1, got 0"),
        ("inners[0].dpid", "is missing"),
        ("inners[1]", "expected an object with keys, got 3"),
        ("zzz", "unknown key"),
        ("pair", "expected str, got int; put it in quotes"),
        ("colour", "expected str, got int; put it in quotes"),
        ("name", "is missing"),
    ]


def test_a_document_that_is_no_object_is_one_mistake() -> None:
    assert mistakes([1]) == [("", "expected an object with keys, got a list")]
    assert mistakes(None) == [("", "expected an object with keys, got nothing")]


def test_what_could_be_read_is_found_by_path_in_spite_of_mistakes() -> None:
    reading = read(Outer, {"inners": [{"dpid": 1}, {"dpid": 0}], "bad": 1})
    assert reading.value is None
    assert reading.found == {("inners", 0, "dpid"): 1, ("inners", 0): Inner(dpid=1)}


def test_later_faults_take_their_place_in_document_order() -> None:
    reading = read(Outer, {"name": "a", "port": 1, "zzz": 1})
    reading.fault(("port",), "is taken")
    assert reading.mistakes() == [("port", "is taken"), ("zzz", "unknown key")]


@pytest.mark.parametrize(("text", "dpid"), [
    ("0x1", 1), ("0X00ab", 0xAB), ("00000000000000a1", 0xA1), ("0000000000000010", 0x10), ("0x" + "f" * 16, 2**64 - 1),
])
def test_datapath_ids_are_hexadecimal(text: str, dpid: int) -> None:
    assert parse_dpid(text) == dpid
    assert parse_dpid(format_dpid(dpid)) == dpid


@pytest.mark.parametrize("text", ["", "1", "0x", "0x0", "0" * 16, "0x" + "1" * 17, "a1", "0x1\n", " 0x1", "0x1_1"])
def test_other_texts_are_no_datapath_ids(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_dpid(text)
    assert str(caught.value) == (
        f"{text!r} is not a datapath id; write 0x and up to 16 hexadecimal digits, not all zero")


def test_paths_are_written_with_dots_and_indexes() -> None:
    assert format_path(("a", 0, "b", "c", 1)) == "a[0].b.c[1]"
    assert format_path(()) == ""


def test_json_schemas_describe_what_is_read() -> None:
    schemas = json_schemas([Outer])
    assert schemas["Pair"] == {"title": "Pair", "type": "string"}
    assert schemas["Outer"]["required"] == ["name"]
    assert schemas["Outer"]["properties"]["inners"]["items"] == {"$ref": "#/components/schemas/Inner"}
    text, number = schemas["Inner"]["properties"]["dpid"]["anyOf"]
    assert text == {"type": "string", "pattern": "^(0[xX][0-9a-fA-F]{1,16}|[0-9a-fA-F]{16})$"}
    assert number == {"type": "integer", "minimum": 1}
