"""Packets and bytes of each direction, as logs of Zeek and Suricata say them and as a lake made of them has them.

usage: sums.py LOG LAKE [LOG LAKE …]     prints a line a log; ends with 1 where they differ
"""
import gzip
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq


def number(text):
    return int(text) if text not in (None, "", "-", "(empty)") else None


def objects(text):
    """JSON values one behind the other; what cannot be read ends them."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] in " \t\r\n[],":
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield value


def connections(text):
    """Of each connection packets and bytes out, packets and bytes back."""
    if not text.lstrip().startswith(("{", "[")):
        names = []
        for line in text.splitlines():
            if line.startswith("#fields"):
                names = line.split("\t")[1:]
            words = line.split("\t")
            if not line.startswith("#") and names and len(words) == len(names):
                one = dict(zip(names, words))
                yield [number(one.get(name)) for name in ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")]
        return
    for one in objects(text):
        one = one.get("event", one) if "firewall_name" in one else one
        if "id.orig_h" in one:
            if max(one["id.orig_p"], one["id.resp_p"]) < 65536:
                yield [one.get(name) for name in ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")]
        elif one.get("event_type") == "flow":
            flow = one["flow"]
            yield [flow[name] for name in ("pkts_toserver", "bytes_toserver", "pkts_toclient", "bytes_toclient")]
        elif one.get("event_type") == "netflow":
            yield [one["netflow"]["pkts"], one["netflow"]["bytes"], None, None]


def sums(rows):
    total = [0] * 4
    for row in rows:
        total = [have + (more or 0) for have, more in zip(total, row)]
    return total


def of_lake(lake):
    for path in sorted(Path(lake).rglob("ext/**/*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            kept = dict(row["unmapped"])
            counts = [row["traffic"]["packets"], row["traffic"]["bytes"]]
            side = kept.get("zeek_side") or kept.get("suricata_side", "toserver")
            is_frame = kept.get("bytes_layer") == "frame"
            if is_frame != ("flowlake_suricata" in str(path)) or row["activity_id"] != 6 and row["action_id"] != 2:
                sys.exit(f"{path}: {row}")
            yield counts + [None, None] if side in ("originator", "toserver") else [None, None] + counts


for log, lake in zip(sys.argv[1::2], sys.argv[2::2]):
    raw = Path(log).read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    rows, lines = list(of_lake(lake)), list(connections(text))
    said, found = sums(lines), sums(rows)
    if said != found or not lines:
        sys.exit(f"{log}: the log says {said}, the lake {found}")
    print(f"{log}: {len(lines)} conversations, {len(rows)} rows; packets and bytes out and back {found}")
