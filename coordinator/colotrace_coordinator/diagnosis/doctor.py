"""All checks of a coordinator with these settings."""

import os
from collections.abc import Iterator
from functools import partial

from colotrace_proto.findings import Check, Finding, examine

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.listen import Address
from colotrace_coordinator.own_names import LOCAL_NAMES
from colotrace_coordinator.settings import ServeSettings
from colotrace_coordinator.store.inspection import trusted_authorities

from . import certificates, fleet, host, listeners, lookups, names, storage

WITHIN_S = 15.0


def findings(settings: ServeSettings, *, within_s: float = WITHIN_S) -> list[Finding]:
    """What is found in this time. It changes nothing."""
    return examine(list(_checks(settings)), within_s=within_s)


def _checks(settings: ServeSettings) -> Iterator[Check]:
    authority, places = settings.authority, _places(settings)
    yield Check(
        "coordinator",
        partial(
            fleet.findings,
            settings.location,
            settings.ops or settings.http,
            encrypted=settings.encrypted and settings.ops is None,
            lifetime_s=authority.lifetime_s if authority is not None else None,
        ),
    )
    if authority is not None:
        yield Check("names", partial(names.findings, authority.names))
    yield Check("ports", partial(_ports, places))
    yield Check("certificates", partial(_certificates, settings, places))
    yield Check("database", partial(storage.database, settings.location))
    yield Check("disk", partial(storage.disk, settings.location, keep_bytes=settings.keep_bytes))
    if authority is not None:
        yield Check("CA's key", partial(storage.authority_key, settings.location, authority))
    if settings.mqtt is not None:
        from . import broker  # needs the extra `mqtt`

        yield Check("broker", partial(broker.findings, settings.mqtt))
    yield Check("resolver", partial(lookups.resolvers, settings.resolver))
    if settings.asn_db is not None:
        yield Check("ASN file", partial(lookups.asn_file, settings.asn_db))
    yield Check("clock", host.clock)


def _places(settings: ServeSettings) -> dict[str, Address]:
    places = {"--http": settings.http, "--grpc": settings.grpc}
    if settings.authority is not None:
        places["--join"] = settings.authority.join
    if settings.ops is not None:
        places["--ops"] = settings.ops
    return places


def _ports(places: dict[str, Address]) -> list[Finding]:
    found, uid = listeners.listeners(place.port for place in places.values()), os.geteuid()
    own = listeners.own_hosts(places.values())
    judged = listeners.judge(places, found, own=own, uid=uid)
    running = [each.pid for each in found if each.is_own(uid=uid)]
    pid = next((each for each in running if each is not None), None)
    # A process that cannot be seen does not have the limits of this shell.
    return judged if running and pid is None else [*judged, *host.descriptors(pid)]


def _certificates(settings: ServeSettings, places: dict[str, Address]) -> list[Finding]:
    found: list[Finding] = []
    if not settings.encrypted:
        return found
    tls, own = settings.tls, settings.authority
    if tls is not None:
        found += certificates.files(tls.certificate, tls.key)
    issued = [] if own is None else _authorities(settings)
    issued_names = (*own.names, *LOCAL_NAMES) if own is not None else ()
    for flag, place in places.items():
        if flag == "--ops" or place.port == 0:
            continue
        from_files = own is None or (tls is not None and flag == "--http")
        found += certificates.listened(
            flag,
            place,
            names=() if from_files else issued_names,
            authorities=[] if from_files else issued,
        )
    return found


def _authorities(settings: ServeSettings) -> list[bytes]:
    """Those of which one has issued the coordinator's certificate."""
    if not storage.is_current(settings.location):
        return []
    try:
        stored = trusted_authorities(settings.location)
    except CoordinatorError:
        return []
    return [each.certificate for each in stored]
