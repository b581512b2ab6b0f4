"""The attributes in which rows of a lake and events that others published for the same records differ.

usage: differences.py NAME LAKE GOLD [NAME LAKE GOLD …]     prints NAME, a tab, and the attribute, a line each
The events are JSON, or Tenzir's notation. A value that is null, a dash or empty is the same as none.
"""
import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq


def tenzir(text):
    """Keys without quotes, values as they are written."""
    root = {}
    stack, records = [root], []
    for line in text.splitlines():
        line = line.strip().rstrip(",")
        if line in ("{", ""):
            stack = [{}] if line else stack
        elif line == "}":
            one = stack.pop()
            if not stack:
                records.append(one)
        elif match := re.fullmatch(r"([\w.]+): (\{|\[)", line):
            inner = {} if match[2] == "{" else []
            stack[-1][match[1]] = inner
            stack.append(inner)
        elif line == "]":
            stack.pop()
        elif match := re.fullmatch(r"([\w.]+): (.*)", line):
            value = match[2].strip('"')
            stack[-1][match[1]] = None if value == "null" else value
        elif isinstance(stack[-1], list):
            stack[-1].append(line.strip('"'))
    return records


def flat(value, path=""):
    if isinstance(value, dict):
        return {name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{path}.{key}").items()}
    if isinstance(value, datetime):
        value = value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if path.endswith("_dt") and isinstance(value, str) and "." in value:
        value = datetime.fromisoformat(value).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if value in (None, "-", "", []):
        return {}
    return {path.lstrip("."): json.dumps(value, sort_keys=True) if isinstance(value, list) else str(value)}


def of_lake(lake):
    rows = []
    for path in sorted(Path(lake).rglob("ext/**/*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            row["unmapped"] = dict(row["unmapped"] or [])
            rows.append(flat(row))
    return rows


def key(row):
    return row.get("src_endpoint.ip"), row.get("src_endpoint.port"), row.get("status_code")


for name, lake, gold in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    text = Path(gold).read_text()
    theirs = [flat(one) for one in (tenzir(text) if gold.endswith(".txt") else [json.loads(text)])]
    ours = {key(row): row for row in of_lake(lake)}
    different = set()
    for their in theirs:
        our = ours[key(their)]
        different |= {path for path in set(our) | set(their) if our.get(path) != their.get(path)}
    for path in sorted(different):
        print(f"{name}\t{path}")
