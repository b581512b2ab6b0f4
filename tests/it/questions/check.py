#!/usr/bin/env python3
"""Asks the demo's lake every question of packaging/athena/lake/questions, as DuckDB runs its text transpiled by sqlglot.

usage: check.py LAKE      checks; prints what was asked, exit 1 at the first thing that is not as it should be
       check.py --write   writes packaging/duckdb/questions anew; look at the difference
Needs duckdb and sqlglot."""
import datetime
import pathlib
import sys

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

from findings import CHANGES, EXPECTED, TOTALS

PACKAGING = pathlib.Path(__file__).parents[3] / "packaging"
ATHENA = PACKAGING / "athena/lake"
DUCKDB = PACKAGING / "duckdb"

# Functions of Athena's Trino that the questions may use, each known to mean the same in DuckDB after sqlglot.
FUNCTIONS = set(
    "abs bitwise_and cast coalesce concat count date_diff date_parse date_trunc element_at greatest least max min mod nullif starts_with sum timestamp".split()
)
# What may stand before a parenthesis without being a function.
WORDS = set("and as by case else from having in on or over sets then when where".split())


def fail(message):
    sys.exit(f"check.py: {message}")


def transpiled(name, text):
    """The question in DuckDB's words. The comment it begins with stays as it is: query.py shows its first line."""
    lines = text.splitlines()
    head = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    body = sqlglot.transpile("\n".join(lines[head:]), read="trino", write="duckdb", pretty=True)
    if len(body) != 1:
        fail("a question is one statement")
    made = f"-- Made of packaging/athena/lake/questions/{name}.sql by tests/it/questions/check.py --write: change that one."
    return "\n".join([*lines[:head], made, body[0] + ";\n"])


def check_text(name, text):
    """That it is Trino SQL, as far as sqlglot can tell, and keeps to what both engines have."""
    tree = sqlglot.parse_one(text, read="trino")
    if list(tree.find_all(exp.Command)):
        fail(f"{name}: sqlglot does not understand all of it")
    tokens = sqlglot.tokenize(text, read="trino")
    for token, following in zip(tokens, tokens[1:]):
        word = token.text.lower()
        if following.token_type == TokenType.L_PAREN and word.isidentifier() and word not in FUNCTIONS | WORDS:
            fail(f"{name}: {word} is not in the list of functions")
        # Integer division in Trino, not in DuckDB.
        if token.token_type == TokenType.SLASH:
            fail(f"{name}: a division")


def check_period(name, text):
    head = text.splitlines()
    if not (head[0].startswith("-- ") and head[0].endswith("?")):
        fail(f"{name}: does not begin with its question")
    for part in ("WITH period AS (\n  -- Change these", "day BETWEEN DATE '", "AND start < until"):
        if part not in text:
            fail(f"{name}: no '{part}'")


def shown(value):
    if value is None:
        return "-"
    if isinstance(value, datetime.datetime):
        return value.strftime("%H:%M:%S")
    return str(value)


def ask(db, text):
    """The rows as lines of words."""
    rows = db.execute(text).fetchall()
    return [" ".join(shown(value).replace(" ", "_") for value in row) for row in rows]


def expect(what, found, expected):
    if found != expected:
        fail("\n  ".join([f"{what}: found", *found, "instead of", *expected]))


def lake_view(lake):
    """A database whose table `flow` has what the view flow.sql shows of the lake."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute((DUCKDB / "flow.sql").read_text().replace("{lake}", lake))
    db.execute("ALTER VIEW flow RENAME TO lake; CREATE TABLE flow AS FROM lake")
    return db


def athena_view(lake, text, tables):
    """A database whose view `flow` is Athena's, over tables like Security Lake's: its own rows have dashes, and ours are ours."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("""CREATE MACRO dashed(e) AS struct_pack(port := e.port, svc_name := coalesce(e.svc_name, '-'), ip := coalesce(e.ip, '-'),
        intermediate_ips := e.intermediate_ips, interface_uid := coalesce(e.interface_uid, '-'), vpc_uid := coalesce(e.vpc_uid, '-'),
        instance_uid := coalesce(e.instance_uid, '-'), subnet_uid := coalesce(e.subnet_uid, '-'))""")
    ours = "read_parquet('{}/ext/{}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)".format
    native = f"""SELECT * REPLACE (
          dashed(src_endpoint) AS src_endpoint, dashed(dst_endpoint) AS dst_endpoint,
          time_dt::TIMESTAMP AS time_dt, end_time_dt::TIMESTAMP AS end_time_dt,
          struct_update(connection_info, direction := coalesce(connection_info.direction, '-')) AS connection_info,
          CASE WHEN action = 'Unknown' THEN '-' ELSE action END AS action,
          NULL::VARCHAR AS accountId, NULL::VARCHAR AS region)
        FROM {ours(lake, "flowlake_vpc")}"""
    for table, source in tables.items():
        if "." in table and table.split(".")[0].startswith('"'):
            catalog, schema = table.split(".")[:2]
            db.execute(f"ATTACH ':memory:' AS {catalog}; CREATE SCHEMA {catalog}.{schema}")
        else:
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
        rows = native if source == "native" else f"SELECT * FROM {ours(lake, source or 'flowlake_agent')}"
        db.execute(f"CREATE TABLE {table} AS {rows} {'' if source else 'LIMIT 0'}")
    statements = sqlglot.transpile(text, read="trino", write="duckdb")
    if len(statements) != 1 or list(sqlglot.parse_one(text, read="trino").find_all(exp.Star)):
        fail("a view is one statement, and names its columns one by one")
    db.execute(statements[0])
    return db


def columns(db, view):
    return [row[0] for row in db.execute(f"DESCRIBE {view}").fetchall()]


def check_views(lake, questions):
    """Athena's views have the columns and the rows of DuckDB's."""
    db = lake_view(lake)
    expected = columns(db, "flow")
    glue = "amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_"
    text = (ATHENA / "views.sql").read_text()
    check_text("views.sql", text)
    athena = athena_view(lake, text, {
        glue + "vpc_flow_2_0": "native", glue + "ext_flowlake_agent": "flowlake_agent", glue + "ext_flowlake_vpc": None,
        glue + "ext_flowlake_zeek": None, glue + "ext_flowlake_suricata": None,
    })
    expect("columns of views.sql", columns(athena, "flow"), expected)
    # Null and a dash are two things here.
    names = ", ".join(f"""coalesce("{name}"::VARCHAR, 'null')""" for name in expected if name != "sensor")
    rows = f"SELECT replace(sensor, 'flowlake_vpc', 'vpc_flow') AS sensor, {names} FROM flow ORDER BY ALL"
    expect("rows of views.sql", ask(athena, rows), ask(db, rows))
    for name, question in questions.items():
        expect(f"{name} in Athena's view", ask(athena, question), [line.replace("flowlake_vpc", "vpc_flow") for line in EXPECTED[name]])
    text = (ATHENA / "views_cloudwatch.sql").read_text()
    check_text("views_cloudwatch.sql", text)
    cloudwatch = athena_view(lake, text, {'"s3tablescatalog/aws-cloudwatch"."logs"."amazon_vpc__flow"': "native"})
    expect("columns of views_cloudwatch.sql", columns(cloudwatch, "flow_cloudwatch"), expected)
    rows = f"SELECT {names} FROM {{}} WHERE sensor IN ('flowlake_vpc', 'cloudwatch') ORDER BY ALL"
    expect("rows of views_cloudwatch.sql", ask(cloudwatch, rows.format("flow_cloudwatch")), ask(db, rows.format("flow")))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    texts = {path.stem: path.read_text() for path in sorted((ATHENA / "questions").glob("*.sql"))}
    questions = {name: transpiled(name, text) for name, text in texts.items()}
    if sys.argv[1] == "--write":
        for name, question in questions.items():
            (DUCKDB / f"questions/{name}.sql").write_text(question)
        return
    expect("the questions", sorted(questions), sorted(EXPECTED))
    committed = {path.stem: path.read_text() for path in (DUCKDB / "questions").glob("*.sql")}
    expect("packaging/duckdb/questions", sorted(committed), sorted(questions))
    lake = sys.argv[1]
    db = lake_view(lake)
    for name, text in texts.items():
        check_text(name, text)
        check_period(name, text)
        if committed[name] != questions[name]:
            fail(f"packaging/duckdb/questions/{name}.sql is not what its Athena text becomes: run check.py --write")
        expect(name, ask(db, questions[name]), EXPECTED[name])
    # What is found goes when the traffic goes, and other traffic is found or not as it should be.
    for what, name, change, expected in CHANGES:
        db.execute("BEGIN")
        db.execute(change)
        expect(f"{name}, {what}", ask(db, questions[name]), expected)
        db.execute("ROLLBACK")
    # Asked for a week of which every day has the same, nothing is unusual.
    db.execute("BEGIN")
    db.execute("""INSERT INTO flow SELECT * EXCLUDE (earlier) REPLACE (start - to_days(earlier::INT) AS start,
        "end" - to_days(earlier::INT) AS "end", day - earlier::INT AS day) FROM flow, range(1, 15) AS days(earlier)""")
    week = questions["unusual_upload"].replace("2026-11-23 00:00:00", "2026-11-17 00:00:00").replace("2026-11-16", "2026-11-10")
    expect("unusual_upload, a week like the one before", ask(db, week), [])
    db.execute("ROLLBACK")
    everywhere = [
        ("nothing there", "DELETE FROM flow", lambda name: []),
        ("another day", "UPDATE flow SET start = start + INTERVAL 1 DAY, day = day + 1", lambda name: []),
        ("no traffic but NODATA", "DELETE FROM flow WHERE status = 'OK'", lambda name: EXPECTED[name] if name == "blind_spots" else []),
    ]
    for what, change, expected in everywhere:
        db.execute("BEGIN")
        db.execute(change)
        for name, question in questions.items():
            expect(f"{name}, {what}", ask(db, question), expected(name))
        db.execute("ROLLBACK")
    # Security Lake's own rows of the same interface, a second agent on the way, and interfaces by which packets come and go: totals stay.
    db.execute("""INSERT INTO flow SELECT * REPLACE ('vpc_flow' AS sensor) FROM flow WHERE sensor = 'flowlake_vpc'
        UNION ALL SELECT * REPLACE ('eni-f0000000000000001' AS interface) FROM flow WHERE sensor = 'flowlake_agent'
        UNION ALL SELECT * REPLACE (CASE direction WHEN 'Inbound' THEN 'Outbound' ELSE 'Inbound' END AS direction) FROM flow""")
    for name in TOTALS:
        expect(f"{name}, seen twice", ask(db, questions[name]), EXPECTED[name])
    check_views(lake, questions)
    print(f"{len(questions)} questions, {len(CHANGES)} changes of the traffic")


main()
