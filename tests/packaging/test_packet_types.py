"""A new packet type is one file and its registration: no other module names a type."""

import ast
from pathlib import Path

from colotrace_agent.packets.formats import FORMATS
from colotrace_proto.messages import PacketType

_ROOT = Path(__file__).parents[2]
_PRODUCT = ("agent", "analysis", "coordinator", "cli", "formats", "proto")
# The records, the enumeration itself, default options, and the words of other programs for types.
_ALLOWED = {
    "proto/colotrace_proto/messages.py": 0,
    "agent/colotrace_agent/model.py": 1,
    "formats/colotrace_formats/answers.py": 5,
    "formats/colotrace_formats/as_scamper.py": 4,
    "proto/colotrace_proto/measured.py": 1,
}
_RECORDS = "agent/colotrace_agent/packets/"


def named_types(source: str) -> list[str]:
    """The members of `PacketType` that the source names."""
    members = PacketType.__members__
    return [
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in members
        and ast.unparse(node.value).split(".")[-1] == "PacketType"
    ]


def test_only_the_records_name_packet_types() -> None:
    """Every other module asks the record."""
    found = {}
    for top in _PRODUCT:
        for path in (_ROOT / top).rglob("*.py"):
            name = path.relative_to(_ROOT).as_posix()
            names = named_types(path.read_text())
            if not name.startswith(_RECORDS) and len(names) > _ALLOWED.get(name, 0):
                found[name] = names
    assert not found


def test_a_named_type_is_found() -> None:
    """However the enumeration was imported."""
    assert named_types("m.PacketType.GRE, PacketType.UDP, Heard.TCP") == ["GRE", "UDP"]


def test_every_packet_type_has_its_records() -> None:
    """Its own, or those of the types that it combines."""
    for packet_type in PacketType:
        assert FORMATS.keys() >= set(packet_type.parts)
    assert all(key is record.packet_type for key, record in FORMATS.items())
    combined = PacketType.GRE_ICMP.parts
    assert combined == (PacketType.GRE, PacketType.ICMP)
