"""Compares rows of our lakes with rows that others published for the same records: every value that both OCSF versions have.

usage: gold.py LAKE GOLD [LAKE GOLD …]     a lake of one row; Parquet or JSON of one row
"""
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq

# What 1.0.0-rc.2 has under another name than 1.1.0.
RENAMED = {"cloud.account_uid": "cloud.account.uid", "start_time": "start_time_dt", "end_time": "end_time_dt"}
# What only one of the two versions has, or what says the version.
OF_RC2 = {"disposition_id"}
OF_1_1_0 = {"time_dt", "action", "action_id", "observables"}
VERSIONS = {"metadata.version", "metadata.profiles"}
# OCSF's examples give the interface's id with 16 zeros in the raw record and with 18 in the event made of it.
OF_EXAMPLES = {"dst_endpoint.interface_uid": ("eni-0000000000000000", "eni-000000000000000000")}


def flat(value, path=""):
    """Leaves by their path. A dash says that there is nothing: with us that is null."""
    if isinstance(value, dict):
        return {name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{path}.{key}").items()}
    if isinstance(value, datetime):
        value = int(value.astimezone(timezone.utc).timestamp() * 1000)
    if path.endswith("_dt") and isinstance(value, str):
        value = int(datetime.fromisoformat(value).timestamp() * 1000)
    return {} if value in (None, "-", []) else {path.lstrip("."): value}


def row(path):
    if path.is_dir():
        (path,) = path.rglob("*.parquet")
    if path.suffix != ".parquet":
        return json.loads(path.read_text())
    (one,) = pq.ParquetFile(path).read().to_pylist()
    if isinstance(one.get("unmapped"), list):
        one["unmapped"] = dict(one["unmapped"])
    return one


for lake, gold in zip(sys.argv[1::2], sys.argv[2::2]):
    ours, theirs = flat(row(Path(lake))), flat(row(Path(gold)))
    if theirs["metadata.version"] == "1.0.0-rc.2":
        if "start_time_dt" in theirs or "disposition_id" not in theirs:
            sys.exit(f"{gold}: not the columns of 1.0.0-rc.2")
        theirs = {RENAMED.get(name, name): value for name, value in theirs.items()}
        not_shared = OF_RC2 | OF_1_1_0 | VERSIONS
    else:
        not_shared = set()
    names = (set(ours) | set(theirs)) - not_shared
    different = {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}
    if Path(gold).suffix == ".ocsf" and different == OF_EXAMPLES:
        names, different = names - set(different), {}
    if different or len(names) < 33:
        sys.exit(f"{gold}: {len(names)} values, different (ours, theirs): {different}")
    print(f"{Path(gold).name}, OCSF {theirs['metadata.version']}: {len(names)} values equal")
