#!/usr/bin/env python3
"""Holds a lake against DuckDB's own mapping of the same flow logs: every row, both ways.

usage: compare.py v2|v5 LOGS SOURCE_FOLDER_OF_THE_LAKE      (needs duckdb)
Prints the number of rows; exit 1 with the first differences if there are any."""
import pathlib
import sys

import duckdb

V2 = "version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action log_status".split()
V5 = V2 + (
    "vpc_id subnet_id instance_id tcp_flags type pkt_srcaddr pkt_dstaddr region az_id sublocation_type sublocation_id "
    "pkt_src_aws_service pkt_dst_aws_service flow_direction traffic_path"
).split()
NUMBERS = {"version": "INTEGER", "srcport": "INTEGER", "dstport": "INTEGER", "protocol": "INTEGER", "packets": "BIGINT",
           "bytes": "BIGINT", "start": "BIGINT", "end": "BIGINT", "tcp_flags": "INTEGER", "traffic_path": "INTEGER"}


def main():
    version, logs, lake = sys.argv[1:4]
    fields = V2 if version == "v2" else V5
    columns = ", ".join(f"'{field}': '{NUMBERS.get(field, 'VARCHAR')}'" for field in fields)
    absent = ", ".join(f'NULL::{NUMBERS.get(field, "VARCHAR")} AS "{field}"' for field in V5 if field not in fields)
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"""CREATE VIEW record AS
        SELECT *{", " + absent if absent else ""},
               regexp_extract(filename, 'AWSLogs/([0-9]+)/vpcflowlogs/([^/]+)/', 1) AS path_account,
               regexp_extract(filename, 'AWSLogs/([0-9]+)/vpcflowlogs/([^/]+)/', 2) AS path_region
        FROM read_csv('{logs}/**/*.log.gz', delim = ' ', header = true, nullstr = '-', auto_detect = false, quote = '',
                      escape = '', filename = true, columns = {{{columns}}})""")
    expected = pathlib.Path(__file__).with_name("vpc_to_ocsf.sql").read_text()
    db.execute(f"CREATE TABLE expected AS {expected}")
    names = [row[0] for row in db.execute("DESCRIBE expected").fetchall()]
    instants = {"time_dt", "start_time_dt", "end_time_dt"}
    # An instant in the lake is one in UTC; so is the mapping's, without saying so.
    plain = ", ".join(f'"{name}"::TIMESTAMP AS "{name}"' if name in instants else f'"{name}"' for name in names)
    same = ", ".join(f'"{name}"::TIMESTAMP AS "{name}"' if name in instants else f'"{name}"' for name in names)
    db.execute(f"""CREATE TABLE found AS SELECT {plain}
        FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)""")
    rows = db.execute("SELECT count(*) FROM expected").fetchone()[0]
    differences = 0
    for title, one, other in (("missing in the lake", "expected", "found"), ("only in the lake", "found", "expected")):
        query = f"SELECT {same} FROM {one} EXCEPT ALL SELECT {same} FROM {other}"
        count = db.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
        differences += count
        if count:
            print(f"{count} rows {title}, such as:")
            for row in db.execute(f"{query} LIMIT 2").fetchall():
                print("   ", dict(zip(names, row)))
    print(f"{rows} rows compared, {differences} differences")
    sys.exit(1 if differences or not rows else 0)


main()
