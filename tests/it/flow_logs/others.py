"""Reads our flow logs with programs of others, and prints each one's sums.

usage: others.py ATHENA DEFAULT ALL PARQUET     the folder of Athena tables; folders of logs: version 2, all fields, Parquet
"""
import gzip
import re
import sys
from pathlib import Path

import duckdb
from flowlogs_reader import FlowRecord

athena, default, everything, parquet = map(Path, sys.argv[1:])
# Hive's types as DuckDB names them.
TYPES = {"int": "INTEGER", "bigint": "BIGINT", "string": "VARCHAR"}


def columns(table):
    """Of a CREATE TABLE: one column a line, its name in back-ticks."""
    body = (athena / table).read_text().split("CREATE EXTERNAL TABLE", 1)[1].split("\n)", 1)[0]
    return {name: TYPES[kind] for name, kind in re.findall(r"^\s*`(\w+)` (\w+)", body, re.MULTILINE)}


# flowlogs-reader: each line as a record of version 2.
packets = records = no_data = 0
for path in sorted(default.rglob("*.log.gz")):
    header, *lines = gzip.open(path, "rt").read().splitlines()
    for line in lines:
        record = FlowRecord(dict(zip(header.replace("-", "_").split(), line.split())))
        records += 1
        no_data += record.log_status == "NODATA"
        packets += record.packets or 0
        if record.log_status == "OK" and (record.action != "ACCEPT" or record.start > record.end):
            sys.exit(f"{path}: {line}")
print(f"flowlogs-reader, default: {packets} packets, {records} records, {no_data} NODATA")

db = duckdb.connect()
sums = "sum(packets), sum(bytes), count(*), count(*) FILTER (log_status = 'NODATA'), min(\"start\"), max(\"end\")"
found = []
for name, folder, table in [("default", default, "vpc_flow_logs_default.sql"), ("text", everything, "vpc_flow_logs_text.sql")]:
    # As LazySimpleSerDe has it: columns by their place, one line of header, a dash in a number's column is null.
    known = columns(table)
    source = f"read_csv('{folder}/**/*.log.gz', delim=' ', skip=1, header=false, quote='', auto_detect=false, columns={known}, nullstr='-')"
    found.append(db.sql(f"SELECT {sums} FROM {source}").fetchone())
    print(f"DuckDB, {name}: {found[-1][0]} packets, {found[-1][1]} bytes, {found[-1][2]} records, {found[-1][3]} NODATA")

# As the Parquet SerDe has it: columns by their names, each of its declared type.
known = columns("vpc_flow_logs_parquet.sql")
source = f"read_parquet('{parquet}/**/*.log.parquet', hive_partitioning=true)"
there = {name: kind for name, kind, *_ in db.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()}
wrong = {name: (kind, there.get(name)) for name, kind in known.items() if there.get(name) != kind}
partitions = [name for name in there if name not in known]
if wrong or partitions != ["aws-account-id", "aws-region", "aws-service", "day", "month", "year"]:
    sys.exit(f"Parquet: declared and found types differ: {wrong}; partitions {partitions}")
found.append(db.sql(f"SELECT {sums} FROM {source}").fetchone())
print(f"DuckDB, Parquet: {found[-1][0]} packets, {found[-1][1]} bytes, {found[-1][2]} records, {found[-1][3]} NODATA")
if len(set(found)) != 1 or found[0][2] != records or found[0][3] != no_data or no_data == 0:
    sys.exit(f"they do not agree: {found}")
