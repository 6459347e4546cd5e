"""Switches and controllers over TLS, with certificates made here; whom the CA has not signed stays outside."""
from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.openflow.samples import multipart
from tests.system.served import Peer, Served, until
from tests.system.test_bad_input import QUESTIONS, pushed
from tools.emulator import Switch, wire


@dataclass(frozen=True)
class Authority:
    """A CA and what it has signed, as files."""

    directory: Path
    name: str

    @property
    def ca(self) -> str:
        return str(self.directory / f"{self.name}-ca.pem")

    def files(self, who: str) -> tuple[str, str]:
        """(certificate, private key) of someone it has signed."""
        return str(self.directory / f"{self.name}-{who}.pem"), str(self.directory / f"{self.name}-{who}.key")

    def context(self, purpose: ssl.Purpose, who: str) -> ssl.SSLContext:
        """For a client (SERVER_AUTH) or a server (CLIENT_AUTH) that asks for the other side's certificate."""
        context = ssl.create_default_context(purpose, cafile=self.ca)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*self.files(who))
        return context


def made(directory: Path, name: str) -> Authority:
    """A new CA that has signed `hvproxy`, `switch` and `controller`."""
    authority = Authority(directory, name)
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} CA")])

    def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.Certificate:
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
                .sign(ca_key, hashes.SHA256()))

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    Path(authority.ca).write_bytes(pem(signed(ca_name, ca_key, True)))
    for who in ("hvproxy", "switch", "controller"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_path, key_path = authority.files(who)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)])
        Path(certificate_path).write_bytes(pem(signed(subject, key, False)))
        Path(key_path).write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return authority


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, Authority]]:
    """Ours and a stranger's."""
    directory = tmp_path_factory.mktemp("tls")
    yield made(directory, "ours"), made(directory, "strange")


def served_by(ours: Authority, controller: Authority | None = None) -> Served:
    certificate, key = ours.files("hvproxy")
    return Served({"private_key": key, "certificate": certificate, "ca": ours.ca},
                  ours.context(ssl.Purpose.SERVER_AUTH, "switch"),
                  (controller or ours).context(ssl.Purpose.CLIENT_AUTH, "controller"))


def test_switches_and_both_kinds_of_controllers_are_served_over_tls(authorities: tuple[Authority, Authority]) -> None:
    async def main() -> None:
        ours, _ = authorities
        async with served_by(ours) as served:
            await served.good.round()
            peer = await Peer.connect(served.red_port, context=ours.context(ssl.Purpose.SERVER_AUTH, "controller"))
            description = await served.good.during(peer.answers(multipart(0, b"", reply=False)))
            assert [answer[1] for answer in description] == [wire.MULTIPART_REPLY]
            peer.close()
    asyncio.run(main())


async def refused(served: Served, port: int, context: ssl.SSLContext) -> bool:
    """Whether a client is not let in: no HELLO comes. TLS 1.3 tells a client of that after its handshake only."""
    try:
        peer = await Peer.connect(port, hello=False, context=context)
    except (ssl.SSLError, ConnectionError):
        return True
    try:
        peer.write(wire.hello(1))
        return await peer.message() is None
    except ssl.SSLError:
        return True
    finally:
        peer.close()


@pytest.mark.parametrize("side", ["switch_port", "red_port", "other_port"])
def test_whom_the_ca_has_not_signed_is_refused_and_the_others_go_on(
    authorities: tuple[Authority, Authority], side: str,
) -> None:
    async def main() -> None:
        ours, strange = authorities
        without = ssl.create_default_context(cafile=ours.ca)
        without.check_hostname = False
        stranger = ssl.create_default_context(cafile=ours.ca)
        stranger.check_hostname = False
        stranger.load_cert_chain(*strange.files("switch"))
        async with served_by(ours) as served:
            port = getattr(served, side)

            async def try_all() -> None:
                for context in (without, stranger, strange.context(ssl.Purpose.SERVER_AUTH, "switch")):
                    assert await refused(served, port, context)
                plain = await Peer.connect(port, hello=False)
                plain.write(wire.hello(1))
                try:
                    assert await plain.message() is None
                except AssertionError:
                    pass
                plain.close()
                assert not await refused(served, port, ours.context(ssl.Purpose.SERVER_AUTH, "switch"))

            await served.good.during(try_all())
    asyncio.run(main())


def test_a_switch_of_another_ca_stays_away_while_the_others_serve(authorities: tuple[Authority, Authority]) -> None:
    async def main() -> None:
        ours, strange = authorities
        async with served_by(ours) as served:
            stranger = Switch(0x666)
            stranger.connect(f"ssl:127.0.0.1:{served.switch_port}",
                             strange.context(ssl.Purpose.SERVER_AUTH, "switch"))
            for _ in range(20):
                await served.good.round()
                assert not stranger.connected
            friend = Switch(0x667)
            friend.add_port(1)
            friend.connect(f"ssl:127.0.0.1:{served.switch_port}", ours.context(ssl.Purpose.SERVER_AUTH, "switch"))
            await until(lambda: friend.connected and friend.tables.count, "a switch of our CA is taken")
            assert not stranger.connected
            for switch in (stranger, friend):
                await switch.close()
    asyncio.run(main())


def test_a_controller_of_another_ca_is_dialled_but_told_nothing(authorities: tuple[Authority, Authority]) -> None:
    async def main() -> None:
        ours, strange = authorities
        served = served_by(ours, controller=strange)

        async def enter() -> None:
            async with served:
                raise AssertionError("hvproxy has a session with a controller it must not trust")

        entering = asyncio.ensure_future(enter())
        await until(lambda: served.log.exists() and b"certificate" in served.log.read_bytes().lower(),
                    "hvproxy tells that it does not trust the controller")
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert not served.controllers
    asyncio.run(main())


@pytest.mark.parametrize("what", QUESTIONS)
def test_over_tls_too_a_controller_that_never_reads_is_not_read_either(
    authorities: tuple[Authority, Authority], what: str,
) -> None:
    async def main() -> None:
        ours, _ = authorities
        async with served_by(ours) as served:
            async def ask() -> None:
                peer = await Peer.connect(served.red_port, context=ours.context(ssl.Purpose.SERVER_AUTH, "controller"))
                before = served.memory
                most = 256 * 1024 * 1024 // len(QUESTIONS[what])
                assert await pushed(peer, QUESTIONS[what], most) < most
                assert served.memory - before < 48 * 1024 * 1024
                peer.close()
            await served.good.during(ask())
    asyncio.run(main())


def test_over_tls_too_a_controller_that_reads_at_last_gets_every_answer(
    authorities: tuple[Authority, Authority],
) -> None:
    async def main() -> None:
        ours, _ = authorities
        async with served_by(ours) as served:
            async def ask() -> None:
                peer = await Peer.connect(served.red_port, context=ours.context(ssl.Purpose.SERVER_AUTH, "controller"))
                count = 300
                peer.write(b"".join(wire.message(wire.ECHO_REQUEST, xid, bytes(30_000)) for xid in range(count)))
                await asyncio.sleep(0.5)
                for xid in range(count):
                    reply = await peer.message_of(wire.ECHO_REPLY)
                    assert reply == wire.message(wire.ECHO_REPLY, xid, bytes(30_000))
                assert await peer.answers(b"") == []
                peer.close()
            await served.good.during(ask())
    asyncio.run(main())
