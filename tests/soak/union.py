"""UNION ALL by position, as Trino and Athena do it: Spark joins structs by the order of their fields, whatever these are called.

usage: union.py LAKE

A table of the native shape is made here, from the published column tree, and the lake's rows are joined to it. In the result each
field of ours, called by the native name, has to be what it is when ours is read alone. Then two fields of the native tree change
places: the same query must come out wrong, or it shows nothing.
"""

import collections
import datetime
import glob
import os
import sys
import tempfile

from pyspark.sql import Row, SparkSession, types

ENDPOINT = "port int, svc_name string, ip string, intermediate_ips array<string>, interface_uid string, vpc_uid string, instance_uid string, subnet_uid string"
STRUCTS = {
    "metadata": "product struct<version: string, name: string, feature: struct<name: string>, vendor_name: string>, profiles array<string>, version string",
    "cloud": "account struct<uid: string>, region string, zone string, provider string",
    "src_endpoint": ENDPOINT,
    "dst_endpoint": ENDPOINT,
    "connection_info": "protocol_num int, tcp_flags int, protocol_ver string, boundary_id int, boundary string, direction_id int, direction string",
    "traffic": "packets bigint, bytes bigint",
}
SCALARS = {
    "time": "bigint", "time_dt": "timestamp", "start_time_dt": "timestamp", "end_time_dt": "timestamp", "status_code": "string",
    "severity_id": "int", "severity": "string", "class_name": "string", "class_uid": "int", "category_name": "string",
    "category_uid": "int", "activity_name": "string", "activity_id": "int", "action": "string", "action_id": "int",
    "disposition": "string", "type_uid": "bigint", "type_name": "string",
}
UNMAPPED = {"unmapped": "map<string, string>", "observables": "array<struct<name: string, value: string, type: string, type_id: int>>"}


def struct(fields):
    return "struct<" + ", ".join(field.strip().replace(" ", ": ", 1) for field in split(fields)) + ">"


def split(fields):
    """At the commas that lie in no angle brackets."""
    depth, parts = 0, [""]
    for letter in fields:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def tree(structs):
    columns = {name: struct(fields) for name, fields in structs.items()} | SCALARS | UNMAPPED
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def value(kind, path):
    """A value of its own for each place of the tree."""
    if isinstance(kind, types.StructType):
        return Row(**{field.name: value(field.dataType, f"{path}.{field.name}") for field in kind.fields})
    if isinstance(kind, types.ArrayType):
        return [value(kind.elementType, f"{path}[]")]
    if isinstance(kind, types.MapType):
        return {"key": path}
    if isinstance(kind, types.StringType):
        return path
    if isinstance(kind, types.TimestampType):
        return datetime.datetime(2024, 1, 1)
    return sum(path.encode())


def leaves(kind, path):
    if isinstance(kind, types.StructType):
        for field in kind.fields:
            yield from leaves(field.dataType, f"{path}.{field.name}" if path else field.name)
    else:
        yield path


def table(spark, name, structs, folder):
    """A native-shaped table of one row."""
    schema = spark.createDataFrame([], tree(structs)).schema
    row = tuple(value(field.dataType, field.name) for field in schema.fields)
    spark.createDataFrame([row], schema).write.parquet(os.path.join(folder, name))
    spark.read.parquet(os.path.join(folder, name)).createOrReplaceTempView(name)
    return schema


def plain(value):
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(plain(part) for part in value)
    return value


def rows(frame):
    return collections.Counter(plain(row) for row in frame.collect())


def main(lake):
    os.environ["TZ"] = "UTC"
    settings = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "2"}
    builder = SparkSession.builder.master("local[2]")
    for key, setting in settings.items():
        builder = builder.config(key, setting)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    sources = sorted(glob.glob(os.path.join(lake, "ext", "*")))
    if not sources:
        sys.exit(f"no source below {lake}")
    swapped = dict(STRUCTS, src_endpoint=ENDPOINT.replace("svc_name", "x").replace("ip string", "svc_name string", 1).replace("x string", "ip string"))
    with tempfile.TemporaryDirectory() as folder:
        schema = table(spark, "native", STRUCTS, folder)
        table(spark, "native_swapped", swapped, folder)
        columns = ", ".join(f"`{field.name}`" for field in schema.fields)
        paths = list(leaves(schema, ""))
        by_name = ", ".join(f"{path} AS `{path}`" for path in paths)
        for source in sources:
            name = os.path.basename(source)
            spark.read.parquet(source).createOrReplaceTempView("ours")
            alone = rows(spark.sql(f"SELECT {by_name} FROM ours"))
            native = rows(spark.sql(f"SELECT {by_name} FROM native"))
            query = f"SELECT {by_name} FROM (SELECT {columns} FROM {{}} UNION ALL SELECT {columns} FROM ours) AS both"
            both = rows(spark.sql(query.format("native")))
            if both != alone + native:
                wrong = [pair for pair in zip(sorted(both, key=repr), sorted(alone + native, key=repr)) if pair[0] != pair[1]]
                sys.exit(f"{name}: joined by position, rows differ, as in\n{wrong[0]}")
            wrong = rows(spark.sql(query.format("native_swapped"))) - native
            place = paths.index("src_endpoint.ip")
            service = paths.index("src_endpoint.svc_name")
            crossed = sum(count for row, count in wrong.items() if row[place] is None and row[service])
            if wrong == alone or not crossed:
                sys.exit(f"{name}: two fields changed places, and the rows came out right")
            print(f"Spark: {name}: {sum(alone.values())} rows joined by position, {len(paths)} fields right; with two fields swapped {crossed} rows wrong")


main(*sys.argv[1:])
