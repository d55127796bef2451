"""The ASN file of the lab: MaxMind's format and the fields of GeoLite2-ASN."""

from __future__ import annotations

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

from lab.truth import prefixes


def write(path: Path) -> None:
    """Write the file for every prefix that somebody announces."""
    writer = MMDBWriter(
        ip_version=6, ipv4_compatible=True, database_type="GeoLite2-ASN", int_type="u32"
    )
    for prefix, zone in prefixes().items():
        writer.insert_network(
            IPSet([prefix]),
            {
                "autonomous_system_number": zone.asn,
                "autonomous_system_organization": zone.organization,
            },
        )
    writer.to_db_file(str(path))
