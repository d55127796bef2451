"""What the command line says of the broker."""

from pathlib import Path

import pytest
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.links.mqtt.choose import BrokerSettings, choose_broker
from colotrace_proto.bus import Broker
from colotrace_proto.mqtt import BrokerTls

NONE = BrokerTls()
HERE = "10.0.0.1:50051"


def choose(
    url: str,
    *,
    insecure: bool = False,
    files: BrokerTls = NONE,
    grpc: str = HERE,
    advertise: str | None = None,
) -> BrokerSettings:
    return choose_broker(url, insecure=insecure, files=files, grpc=grpc, advertise=advertise)


def test_over_tls() -> None:
    """The broker's name is checked, against the system's authorities where no other is named."""
    chosen = choose("mqtts://u:p@h")
    assert chosen.broker == Broker("h", 8883, tls=True, username="u", password="p")
    assert chosen.tls is not None
    assert chosen.tls.check_hostname
    assert chosen.advertise == ""


def test_in_the_clear() -> None:
    """On a network that is trusted."""
    assert choose("mqtt://h", insecure=True).tls is None
    with pytest.raises(SetupError, match="would be sent unencrypted"):
        choose("mqtt://h")


@pytest.mark.parametrize("grpc", [":1", "0.0.0.0:1", "[::]:1"])
def test_where_agents_answer(grpc: str) -> None:
    """One address is to be told them: everywhere is none."""
    with pytest.raises(SetupError, match="--advertise"):
        choose("mqtts://h", grpc=grpc)
    assert choose("mqtts://h", grpc=grpc, advertise="[::1]:7").advertise == "[::1]:7"
    advertised = choose("mqtts://h", grpc=grpc, advertise="straße.example:7").advertise
    assert advertised == "xn--strae-oqa.example:7"


@pytest.mark.parametrize("advertise", ["h", "h:0", "http://h:1", "h:1,h:2"])
def test_what_is_no_address(advertise: str) -> None:
    """Every agent would refuse to dial it."""
    with pytest.raises(SetupError, match="give HOST:PORT"):
        choose("mqtts://h", advertise=advertise)


@pytest.mark.parametrize("file", ["authority", "certificate"])
def test_files_that_cannot_be_used(tmp_path: Path, file: str) -> None:
    """Named, and why in words."""
    there = tmp_path / "x.pem"
    with pytest.raises(SetupError, match=r"x\.pem.*No such file"):
        choose("mqtts://h", files=BrokerTls(**{file: there}))
    there.write_text("rubbish")
    with pytest.raises(SetupError, match=r"x\.pem.*not PEM"):
        choose("mqtts://h", files=BrokerTls(**{file: there}))
    with pytest.raises(SetupError, match="mqtts:// only"):
        choose("mqtt://h", files=BrokerTls(**{file: there}), insecure=True)


def test_a_key_alone(tmp_path: Path) -> None:
    """It would not be shown."""
    with pytest.raises(SetupError, match="give --mqtt-cert, too"):
        choose("mqtts://h", files=BrokerTls(key=tmp_path / "key.pem"))


def test_agents_get_the_url_without_credentials() -> None:
    assert choose("mqtts://u:p@h").for_agents == "mqtts://h:8883"
    other = choose_broker(
        "mqtts://u:p@h",
        insecure=False,
        files=NONE,
        grpc=HERE,
        advertise=None,
        for_agents="mqtts://broker.example.net:8884",
    )
    assert other.for_agents == "mqtts://broker.example.net:8884"


@pytest.mark.parametrize("url", ["mqtt://h", "mqtts://u:p@h"])
def test_url_for_agents_is_encrypted_and_has_no_user(url: str) -> None:
    with pytest.raises(SetupError, match="--agent-mqtt"):
        choose_broker(
            "mqtts://h", insecure=False, files=NONE, grpc=HERE, advertise=None, for_agents=url
        )
