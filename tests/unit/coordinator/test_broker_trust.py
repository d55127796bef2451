"""Which CAs a coordinator trusts at the broker."""

import ssl

from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.generations import Generation, Generations
from colotrace_coordinator.composition.links import certify
from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from colotrace_coordinator.links.mqtt.choose import choose_broker
from colotrace_proto.mqtt import BrokerTls


class Bus:
    """Has the context of the next connection."""

    def use(self, tls: ssl.SSLContext) -> None:
        self.trusted = set(tls.get_ca_certs(binary_form=True))


def test_retired_authority_is_trusted_no_more() -> None:
    """Its key may be known to somebody else, who would pass for the broker."""
    first = Generation(1, Authority.create(), 0.0, b"")
    second = Generation(2, Authority.create(), 0.0, b"")
    generations = Generations([first, second])
    own = OwnCertificate(generations, ["192.0.2.1"])
    bus, settings = (
        Bus(),
        choose_broker(
            "mqtts://h", insecure=False, files=BrokerTls(), grpc="192.0.2.1:8081", advertise=None
        ),
    )
    ders = [ssl.PEM_cert_to_DER_cert(g.authority.certificate.decode()) for g in (first, second)]
    certify(bus, settings, own)  # type: ignore[arg-type]
    assert bus.trusted >= set(ders)
    generations.trust([second])
    certify(bus, settings, own)  # type: ignore[arg-type]
    assert ders[0] not in bus.trusted
    assert ders[1] in bus.trusted
