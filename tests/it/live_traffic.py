"""Traffic for the tests of live capture: bounded in count and time, and only to the addresses that are given.

usage: live_traffic.py udp COUNT SIZE ADDRESS PORT   datagrams from one socket
       live_traffic.py steady COUNT ADDRESS PORT     datagrams from one socket, one a millisecond
       live_traffic.py ports FIRST COUNT ADDRESS PORT   three datagrams from each of COUNT source ports
       live_traffic.py flows COUNT ADDRESS PORT      one datagram from each of COUNT addresses and ports, as fast as it goes
       live_traffic.py connect COUNT ADDRESS PORT    TCP connections that nobody answers, one SYN each
       live_traffic.py serve CONNECTIONS             a TCP server on port 7000 that reads and answers; prints when it listens
       live_traffic.py settled WORDS                 any of these, begun in the middle of a second
       live_traffic.py mix IPV4 IPV6                 TCP to that server, UDP, fragments, frames with VLAN tags
"""
import socket
import struct
import sys
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp(count, size, address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as one:
        for _ in range(count):
            one.sendto(b"x" * size, (address, port))


def steady(count, address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as one:
        for _ in range(count):
            one.sendto(b"x" * 100, (address, port))
            time.sleep(0.001)


def ports(first, count, address, port):
    for source in range(first, first + count):
        with socket.socket(family(address), socket.SOCK_DGRAM) as one:
            one.bind(("", source))
            for _ in range(3):
                try:
                    one.sendto(b"x" * 100, (address, port))
                except PermissionError:
                    pass  # dropped on its way out: the kernel tells the sender


def flows(count, address, port):
    """From addresses that nobody has, so that each is a flow of its own."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("out0", 0))
        ends = bytes.fromhex("020000000002" "020000000001" "0800")
        destination = socket.inet_aton(address)
        for number in range(count):
            source = struct.pack("!BBH", 10, 20, number // 50000)
            datagram = struct.pack("!HHHH", 1024 + number % 50000, port, 8, 0)
            header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + source + destination
            checksum = sum(struct.unpack("!10H", header))
            checksum = (checksum & 0xffff) + (checksum >> 16)
            checksum = ~((checksum & 0xffff) + (checksum >> 16)) & 0xffff
            raw.send(ends + header[:10] + struct.pack("!H", checksum) + header[12:] + datagram)


def connect(count, address, port):
    for _ in range(count):
        with socket.socket(family(address), socket.SOCK_STREAM) as one:
            one.settimeout(0.2)
            try:
                one.connect((address, port))
            except TimeoutError:
                pass


def serve(connections):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.settimeout(20)
        listening.bind(("::", 7000))
        listening.listen()
        print("ready", flush=True)
        for _ in range(connections):
            one, _ = listening.accept()
            with one:
                one.settimeout(20)
                while one.recv(1 << 16):
                    pass
                one.sendall(b"y" * 1_000_000)


def settle():
    """Into the middle of a second: two captures of one packet differ by microseconds, records have whole seconds."""
    time.sleep((1.3 - time.time() % 1) % 1)


def tagged(tags):
    """A UDP datagram to port 7100 in an Ethernet frame with VLAN tags."""
    payload = b"z" * 64
    datagram = struct.pack("!HHHH", 7101, 7100, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0,
                         socket.inet_aton("10.9.0.1"), socket.inet_aton("10.9.0.2"))
    frame = bytes.fromhex("020000000002" "020000000001")
    for tag in tags:
        frame += struct.pack("!HH", 0x8100, tag)
    return frame + struct.pack("!H", 0x0800) + header + datagram


def mix(ipv4, ipv6):
    for address in (ipv4, ipv6):
        settle()
        with socket.create_connection((address, 7000), timeout=20) as one:
            one.sendall(b"x" * 3_000_000)
            one.shutdown(socket.SHUT_WR)
            while one.recv(1 << 16):
                pass
        settle()
        udp(50, 200, address, 7300)
        # Three fragments each over a wire of 1500 bytes.
        udp(10, 4000, address, 7200)
    settle()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("out0", 0))
        for _ in range(30):
            raw.send(tagged([100]))
        for _ in range(20):
            raw.send(tagged([200, 300]))
    # The last acknowledgements.
    time.sleep(0.3)


words = sys.argv[1:]
if words[:1] == ["settled"]:
    settle()
    words = words[1:]
match words:
    case ["udp", count, size, address, port]:
        udp(int(count), int(size), address, int(port))
    case ["steady", count, address, port]:
        steady(int(count), address, int(port))
    case ["ports", first, count, address, port]:
        ports(int(first), int(count), address, int(port))
    case ["flows", count, address, port]:
        flows(int(count), address, int(port))
    case ["connect", count, address, port]:
        connect(int(count), address, int(port))
    case ["serve", connections]:
        serve(int(connections))
    case ["mix", ipv4, ipv6]:
        mix(ipv4, ipv6)
    case _:
        sys.exit(__doc__)
