#!/usr/bin/env python3
"""Asks a local lake. The view `flow` (flow.sql, beside this script) has every row of every source.

usage: query.py LAKE 'SELECT …' | query.py LAKE FILE.sql      (needs duckdb)
In a file, statements end with `;` and the first comment line before a statement is its title."""
import pathlib
import sys

import duckdb


def shown(value):
    """Numbers with thousands apart, nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(relation):
    """Prints rows under their column names, numbers to the right."""
    names = [column[0] for column in relation.description]
    rows = relation.fetchall()
    numeric = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(names))]
    cells = [names] + [[shown(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    for row in cells:
        aligned = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric)]
        print("  " + "  ".join(aligned).rstrip())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    lake, question = sys.argv[1:]
    if not any(pathlib.Path(lake).glob("ext/*/*/*/*/*.parquet")):
        sys.exit(f"query.py: no lake files below {lake}/ext; convert something into it first")
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    here = pathlib.Path(__file__).parent
    db.execute((here / "flow.sql").read_text().replace("{lake}", lake.replace("'", "''")))
    if not question.endswith(".sql"):
        return table(db.execute(question))
    title = ""
    statement = []
    for line in pathlib.Path(question).read_text().splitlines():
        if line.startswith("--") and not statement:
            title = title or line[2:].strip()
            continue
        statement.append(line)
        if line.rstrip().endswith(";"):
            print(f"\n{title}")
            table(db.execute("\n".join(statement)))
            title, statement = "", []


try:
    main()
except duckdb.Error as error:
    sys.exit(f"query.py: {error}")
except BrokenPipeError:
    # Whoever reads has seen enough.
    sys.stdout = None
