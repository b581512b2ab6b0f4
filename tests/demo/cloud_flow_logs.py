#!/usr/bin/env python3
"""Turns a capture of a cloud instance's interface into VPC flow log files.

AWS would write these records for the instance's network interface. They are made here by
a program that shares nothing with flowlake (the standard library only, an own pcap reader), so
that the two sides of the demo do not agree merely because they have the same code.

Usage: cloud_flow_logs.py CAPTURE OUTPUT_DIRECTORY
"""

import gzip
import hashlib
import ipaddress
import pathlib
import struct
import sys
import time

ACCOUNT = "123456789012"
REGION = "eu-central-1"
FLOW_LOG_ID = "fl-0a1b2c3d4e5f60718"
INSTANCE = {ipaddress.ip_address("10.40.2.20"), ipaddress.ip_address("2001:db8:40:2::20")}
ON_PREMISES = [ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("2001:db8:20::/48")]
ALLOWED_TCP = {443, 8080}  # the security group, the same as in make-capture.sh

# What is the same in every record of the flow log.
COMMON = {
    "version": "5",
    "account-id": ACCOUNT,
    "vpc-id": "vpc-0f3c9a5e7b1d24680",
    "subnet-id": "subnet-04d8e2b6a9c1f7350",
    "region": REGION,
    "az-id": "euc1-az2",
}
ENI = {"interface-id": "eni-0b7e4c2d9f1a83650", "instance-id": "i-0c5a1e8f3b7d92460"}
SILENT_ENI = {"interface-id": "eni-06f2d8b4a0c7e9135"}

FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
    "start end action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr "
    "pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service "
    "pkt-dst-aws-service flow-direction traffic-path"
).split()

WINDOW = 60  # seconds of one aggregation interval
BUCKET = 300  # seconds of end times in one file

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
IPV6_EXTENSIONS = {0, 43, 60}
# Router and neighbour discovery and multicast listener messages: the VPC answers or ends them
# itself, they are not flows of the instance.
LINK_ICMPV6 = {130, 131, 132, 133, 134, 135, 136, 137, 143}


def read_pcap(data):
    """Yields (second, frame) of a classic pcap file with Ethernet frames."""
    magics = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
    order = magics.get(data[:4])
    if order is None:
        raise SystemExit("not a pcap file")
    (link,) = struct.unpack_from(order + "I", data, 20)
    if link != 1:
        raise SystemExit(f"link type {link} is not Ethernet")
    offset = 24
    while offset < len(data):
        second, _fraction, captured, _length = struct.unpack_from(order + "4I", data, offset)
        offset += 16
        yield second, data[offset : offset + captured]
        offset += captured


def parse(frame):
    """Returns (src, dst, protocol, srcport, dstport, tcp flag byte, bytes) or None if not logged."""
    (ethertype,) = struct.unpack_from(">H", frame, 12)
    first_fragment = True
    if ethertype == 0x0800:
        at = 14 + (frame[14] & 15) * 4
        size, _ident, fragment = struct.unpack_from(">3H", frame, 16)
        protocol = frame[23]
        first_fragment = fragment & 0x1FFF == 0
        src, dst = frame[26:30], frame[30:34]
    elif ethertype == 0x86DD:
        at = 54
        size = 40 + struct.unpack_from(">H", frame, 18)[0]
        protocol = frame[20]
        src, dst = frame[22:38], frame[38:54]
        while protocol in IPV6_EXTENSIONS:
            protocol, at = frame[at], at + 8 + frame[at + 1] * 8
    else:
        return None  # ARP and the like
    if protocol == ICMPV6 and frame[at] in LINK_ICMPV6:
        return None
    srcport = dstport = flags = 0
    if protocol in (TCP, UDP) and first_fragment:
        srcport, dstport = struct.unpack_from(">2H", frame, at)
        if protocol == TCP:
            flags = frame[at + 13]
    return ipaddress.ip_address(src), ipaddress.ip_address(dst), protocol, srcport, dstport, flags, size


def logged_flags(flags):
    """ACK is kept only together with SYN; PSH, URG, ECE and CWR never are."""
    kept = flags & (FIN | SYN | RST)
    return kept | ACK if flags & SYN and flags & ACK else kept


def aggregate(packets):
    """Returns the records by window and first packet, and how many packets were rejected."""
    flows = {}  # (window, action, direction, 5-tuple) -> [packets, bytes, flags, start, end]
    answers = set()  # 5-tuples of answers to what the instance itself has begun
    rejected = 0
    for second, frame in packets:
        parsed = parse(frame)
        if parsed is None:
            continue
        src, dst, protocol, srcport, dstport, flags, size = parsed
        action = "ACCEPT"
        if src in INSTANCE:
            direction = "egress"
            answers.add((dst, src, protocol, dstport, srcport))
        elif dst in INSTANCE:
            direction = "ingress"
            allowed = (
                protocol in (ICMP, ICMPV6)
                or (protocol == TCP and dstport in ALLOWED_TCP)
                or (src, dst, protocol, srcport, dstport) in answers
            )
            if not allowed:
                action = "REJECT"
                rejected += 1
        else:
            continue  # multicast
        key = (second // WINDOW, action, direction, src, dst, protocol, srcport, dstport)
        flow = flows.setdefault(key, [0, 0, 0, second, second])
        flow[0] += 1
        flow[1] += size
        flow[2] |= logged_flags(flags) if protocol == TCP else 0
        flow[3] = min(flow[3], second)  # packets of several processors can be out of order
        flow[4] = max(flow[4], second)
    # A dictionary keeps the order of first packets, and sorting is stable.
    return sorted(flows.items(), key=lambda item: item[0][0]), rejected


def record(key, flow):
    _window, action, direction, src, dst, protocol, srcport, dstport = key
    packets, size, flags, start, end = flow
    to_vpn = direction == "egress" and any(dst in network for network in ON_PREMISES)
    return COMMON | ENI | {
        "srcaddr": src,
        "dstaddr": dst,
        "srcport": srcport,
        "dstport": dstport,
        "protocol": protocol,
        "packets": packets,
        "bytes": size,
        "start": start,
        "end": end,
        "action": action,
        "log-status": "OK",
        "tcp-flags": flags,
        "type": f"IPv{src.version}",
        "pkt-srcaddr": src,
        "pkt-dstaddr": dst,
        "flow-direction": direction,
        "traffic-path": 3 if to_vpn else "-",  # 3: by the virtual private gateway
    }


def no_data(window):
    """An interface without traffic keeps the metadata and the bounds of the interval."""
    start = window * WINDOW
    return COMMON | SILENT_ENI | {"start": start, "end": start + WINDOW - 1, "log-status": "NODATA"}


def write(records, directory):
    """Writes one file for each five minutes of end times; returns the paths."""
    buckets = {}
    for row in records:
        line = " ".join(str(row.get(field, "-")) for field in FIELDS)
        buckets.setdefault(row["end"] // BUCKET * BUCKET, []).append(line)
    paths = []
    for begin, lines in sorted(buckets.items()):
        text = "\n".join([" ".join(FIELDS), *lines, ""]).encode()
        at = time.gmtime(begin)
        folder = directory / f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}" / time.strftime("%Y/%m/%d", at)
        stamp = time.strftime("%Y%m%dT%H%MZ", at)
        mark = hashlib.sha256(text).hexdigest()[:8]
        path = folder / f"{ACCOUNT}_vpcflowlogs_{REGION}_{FLOW_LOG_ID}_{stamp}_{mark}.log.gz"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text, mtime=0))
        paths.append(path)
    return paths


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    flows, rejected = aggregate(read_pcap(pathlib.Path(sys.argv[1]).read_bytes()))
    if not flows:
        raise SystemExit("no packet of the instance in the capture")
    windows = sorted({key[0] for key, _ in flows})
    silent = windows[len(windows) // 2]
    records = []
    for window in windows:
        records += [record(key, flow) for key, flow in flows if key[0] == window]
        if window == silent:
            records.append(no_data(window))
    paths = write(records, pathlib.Path(sys.argv[2]))
    actions = [row.get("action", "-") for row in records]
    print(
        f"records={len(records)} accept={actions.count('ACCEPT')} reject={actions.count('REJECT')} "
        f"nodata={actions.count('-')} files={len(paths)} rejected_packets={rejected}"
    )


if __name__ == "__main__":
    main()
