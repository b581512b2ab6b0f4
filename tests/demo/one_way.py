#!/usr/bin/env python3
"""Makes the capture of a host that sees only one direction of a conversation: an asymmetric route.

The backup server gets a copy from the branch office; its answers leave by another interface, which nobody captures.
A second conversation, both ways, shows what is usual. The same bytes every time; the standard library only.

Usage: one_way.py FILE.pcap.gz
"""

import gzip
import ipaddress
import struct
import sys

BACKUP, BRANCH = "10.20.1.60", "10.30.5.15"
BEGIN = 1795435685  # 2026-11-23 12:08:05 UTC
FIN, SYN, ACK = 1, 2, 16


def frame(source, destination, ports, flags):
    """The captured headers (54 bytes) of a TCP segment in IPv4 on Ethernet."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    length = 40 + payload(flags)
    header = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0x4000, 61, 6, 0) + addresses
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack(">H", ~total & 0xFFFF) + header[12:]
    # The TCP checksum covers a payload that was not captured: nobody can check it.
    tcp = struct.pack(">HHIIBBHHH", *ports, 1, 1, 0x50, flags, 1024, 0, 0)
    return bytes.fromhex("020000000060" "0200000000fe" "0800") + header + tcp


def payload(flags):
    return 0 if flags & (SYN | FIN) else 160


def packets():
    """Yields (microseconds since BEGIN, frame, bytes on the wire)."""

    def segment(at, source, destination, ports, flags):
        return at, frame(source, destination, ports, flags), 54 + payload(flags)

    # One way: 151 seconds, three windows, 152 packets.
    for second in range(152):
        flags = SYN if second == 0 else FIN | ACK if second == 151 else ACK
        yield segment(second * 1_000_000, BRANCH, BACKUP, (51544, 873), flags)
    # Both ways, 30 packets each; it begins in one window and ends in the next.
    for number in range(30):
        flags = SYN if number == 0 else FIN | ACK if number == 29 else ACK
        at = 54_000_000 + number * 100_000
        yield segment(at, BRANCH, BACKUP, (51546, 443), flags)
        yield segment(at + 20_000, BACKUP, BRANCH, (443, 51546), flags | ACK)


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1)
    for at, captured, length in sorted(packets(), key=lambda packet: packet[0]):
        second, microsecond = divmod(at, 1_000_000)
        capture += struct.pack("<4I", BEGIN + second, microsecond, len(captured), length) + captured
    with open(sys.argv[1], "wb") as file:
        file.write(gzip.compress(capture, mtime=0))


main()
