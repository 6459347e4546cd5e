"""Hosts on VLANs of one interface, for kernels that have no VLAN devices: a program that answers ARP and pings.

    tagged_hosts.py INTERFACE SOCKET VLAN:MAC:ADDRESS …        (MAC without colons)

Listens on the UNIX socket for lines `VLAN ADDRESS COUNT` and answers with how many of so many pings were answered.
"""
from __future__ import annotations

import asyncio
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.emulator import Host  # noqa: E402

SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("IIIHHHH")
TP_STATUS_VLAN_VALID = 1 << 4


def read_frame(sock: socket.socket) -> bytes | None:
    """The next frame from outside with its tag, which the kernel takes off and tells separately."""
    data, ancillary, _, address = sock.recvmsg(65536, 256)
    if address[2] == socket.PACKET_OUTGOING:
        return None
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = AUXDATA.unpack_from(value)
            if status & TP_STATUS_VLAN_VALID:
                return data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
    return data


async def main(interface: str, path: str, *described: str) -> None:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.bind((interface, 0))
    sock.setblocking(False)
    hosts = {}
    for text in described:
        vlan, mac, address = text.split(":")
        host = hosts[int(vlan)] = Host(f"vlan{vlan}", bytes.fromhex(mac), address, int(vlan))
        host.send = sock.send

    def arrived() -> None:
        while True:
            try:
                frame = read_frame(sock)
            except BlockingIOError:
                return
            if frame is not None:
                for host in hosts.values():
                    host.receive(frame)

    async def command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        vlan, address, count = (await reader.readline()).decode().split()
        answers = [await hosts[int(vlan)].ping(address, 5.0) for _ in range(int(count))]
        writer.write(b"%d\n" % sum(answer is not None for answer in answers))
        await writer.drain()
        writer.close()

    asyncio.get_running_loop().add_reader(sock.fileno(), arrived)
    server = await asyncio.start_unix_server(command, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
