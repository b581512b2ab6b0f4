//! `docs/mapping.md`: the mapping as its tables have it, and where others map otherwise.

use std::fmt::Write;

use flowlake_common::vpc::Field;
use flowlake_converter::{
    input::Sensor,
    ocsf::{ADDED_IN_1_3_0, TREE, Type},
};

/// Where events that others published for the same records differ: whose, the attributes (`*` for any ending), and why.
pub const DIFFERENCES: [(&str, &[&str], &str); 22] = [
    (
        "AWS",
        &["dst_endpoint.interface_uid"],
        "the example gives the interface's id with another number of zeros in the raw record than in the event",
    ),
    (
        "Tenzir",
        &["activity_*", "type_*"],
        "Tenzir calls REJECT Close (2) and NODATA Traffic; Security Lake says Refuse (5), and of NODATA nothing was seen: Unknown (0)",
    ),
    (
        "Tenzir",
        &["action", "action_id", "disposition"],
        "Tenzir calls NODATA and SKIPDATA Allowed; nobody allowed anything",
    ),
    ("Tenzir", &["disposition_id"], "no column of the native table; OCSF 1.3.0 rows have it"),
    ("Tenzir", &["cloud.region"], "the records lack it, and `--region` told it"),
    (
        "Tenzir",
        &["connection_info.boundary_id", "connection_info.direction_id"],
        "99 where a record does not say, as Security Lake has it; OCSF 1.1.0 requires direction_id",
    ),
    (
        "Tenzir",
        &["connection_info.protocol_ver", "connection_info.protocol_ver_id"],
        "`IPv4`, as the record and Security Lake have it; no protocol_ver_id in the native table",
    ),
    (
        "Tenzir",
        &["src_endpoint.interface_uid", "dst_endpoint.interface_uid", "unmapped.interface_id"],
        "the interface belongs to the end whose it is",
    ),
    (
        "Tenzir",
        &["time*", "start_time*", "end_time*", "duration"],
        "the native table has `time` in milliseconds and the others as `*_dt`",
    ),
    ("Tenzir", &["metadata.*"], "OCSF 1.1.0 and Security Lake's own words (`Flowlogs`, the profile datetime)"),
    ("Tenzir", &["observables"], "Security Lake lists them"),
    ("Tenzir", &["raw_data*"], "no column of the native table, and twice the size"),
    (
        "Zeek",
        &["traffic.*", "unmapped.orig_*", "unmapped.resp_*", "unmapped.zeek_side", "unmapped.duration"],
        "the example has one event for both directions, and the payload's bytes; ours are one direction each, with IP bytes, as flow logs have them, and keep the rest",
    ),
    (
        "Zeek",
        &["activity_*", "type_*", "action*", "status*"],
        "a row is traffic that was seen, and nobody judged it; how the connection ended is in status_code",
    ),
    (
        "Zeek",
        &["time*", "start_time*", "end_time_dt", "duration", "metadata.logged_time", "unmapped.write_ts"],
        "OCSF's timestamps are milliseconds; the example has seconds",
    ),
    (
        "Zeek",
        &["connection_info.*", "unmapped.local_*"],
        "what the log says of direction, protocol and flags is mapped; `local_orig` and `local_resp` are kept too, as text",
    ),
    ("Zeek", &["cloud.*"], "Security Lake's partitions and the profile cloud want account, Region and provider"),
    ("Zeek", &["category_name", "class_name", "severity"], "the native table's captions"),
    (
        "Zeek",
        &["observables"],
        "addresses, as Security Lake lists them; names that a sensor guessed are kept in unmapped",
    ),
    (
        "Zeek",
        &["src_endpoint.mac", "dst_endpoint.mac", "dst_endpoint.location.country", "app_name"],
        "no fields of the native table's structs, which Athena matches by position; kept in unmapped",
    ),
    ("Zeek", &["metadata.*"], "what every row of the source has; the log's own words are kept in unmapped"),
    ("Zeek", &["unmapped.*"], "every column by its name in Zeek, `.` written `_`, as text"),
];

/// The document.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# What becomes of a record\n\n\
         Made from the tables that the converter maps by (`common/src/vpc/field.rs`, `converter/src/input/zeek.rs` and `suricata.rs`,\n\
         `converter/src/ocsf/schema.rs`): `flowlake-generate mapping docs/mapping.md 0 0`. A test holds it to them.\n\n\
         ## Columns\n\n\
         Those of Security Lake's native table `vpc_flow_2_0`, in its order, without accountid, region and asl_version.\n\n\
         | column | type |\n|---|---|\n",
    );
    for column in TREE {
        line(&mut text, &[&format!("`{}`", column.name), &glue(column.kind)]);
    }
    let added: Vec<String> =
        ADDED_IN_1_3_0.iter().map(|column| format!("`{}` {}", column.name, glue(column.kind))).collect();
    let _ = writeln!(text, "\nWith `--ocsf-version 1.3.0` behind them: {}.", added.join(", "));
    text.push_str(
        "\n## Whose rows\n\n\
         | records | source | product, vendor, feature | cloud.provider | accountId |\n|---|---|---|---|---|\n\
         | `--origin aws` | `flowlake_vpc` | Amazon VPC, AWS, Flowlogs | AWS | the account |\n\
         | `--origin on-premises` | `flowlake_agent` | flowlake, flowlake, Flowlogs | on-premises | `external_<account>` |\n\
         | Zeek | `flowlake_zeek` | Zeek, Zeek, conn | on-premises | `external_<account>` |\n\
         | Suricata | `flowlake_suricata` | Suricata, OISF, flow | on-premises | `external_<account>` |\n\n\
         ## What was decided\n\n\
         | record | activity | action | disposition |\n|---|---|---|---|\n\
         | ACCEPT | 6 Traffic | 1 Allowed | Allowed |\n\
         | REJECT; what Suricata dropped | 5 Refuse | 2 Denied | Blocked |\n\
         | ACCEPT with `--verdict none`; transit gateways; Zeek; Suricata | 6 Traffic | 0 Unknown | null |\n\
         | NODATA, SKIPDATA | 0 Unknown | 0 Unknown | null |\n\
         | formats with neither `action` nor `log-status` | 0 Unknown | 0 Unknown | null |\n\n\
         A `-` is null, and leaves no key in `unmapped`. In NODATA and SKIPDATA both ends are the interface (or what a transit gateway or a regional\n\
         NAT gateway has instead), because OCSF wants each end identified; a record that names neither these nor an address is a reject. Without a direction `direction_id` is 99, without a traffic path `boundary_id`.\n\n\
         ## Fields of flow logs\n\n| field | version | OCSF |\n|---|---|---|\n",
    );
    for field in Field::all() {
        let info = field.info();
        line(&mut text, &[&format!("`{}`", info.name), &info.version.to_string(), info.ocsf]);
    }
    text.push_str("\nA field that is not known yet: `unmapped`, by its name, `-` written `_`.\n");
    for (sensor, title) in
        [(Sensor::Zeek, "Zeek's conn.log"), (Sensor::Suricata, "Suricata's `flow` and `netflow` events")]
    {
        let _ = write!(text, "\n## {title}\n\n| column | OCSF | kept in `unmapped` as |\n|---|---|---|\n");
        for mapped in sensor.table() {
            let kept = mapped.unmapped.map_or_else(|| "-".to_owned(), |key| format!("`{key}`"));
            line(&mut text, &[&format!("`{}`", mapped.column), mapped.role.ocsf(sensor), &kept]);
        }
        text.push_str("\nEvery other column: `unmapped`, by its name, `.` written `_`.\n");
    }
    text.push_str(
        "\n## Where others map otherwise\n\n\
         AWS is the example that Security Lake's User Guide points at (ocsf/examples, AWS v1.1.0), Tenzir its library's VPC flow mapping to 1.8.0, Zeek the example for\n\
         conn.log in 1.3.0 (ocsf/examples). A dash, null and nothing are the same here. A test finds each difference, and each stands here.\n\n\
         | published | attributes | why ours differ |\n|---|---|---|\n",
    );
    for (published, attributes, why) in DIFFERENCES {
        let attributes: Vec<String> = attributes.iter().map(|attribute| format!("`{attribute}`")).collect();
        line(&mut text, &[published, &attributes.join(", "), why]);
    }
    text
}

fn line(text: &mut String, cells: &[&str]) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// A type in Glue's words.
fn glue(kind: Type) -> String {
    match kind {
        Type::Int => "int".to_owned(),
        Type::BigInt => "bigint".to_owned(),
        Type::String => "string".to_owned(),
        Type::Timestamp => "timestamp".to_owned(),
        Type::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, kind)| format!("{name}:{}", glue(*kind))).collect();
            format!("struct<{}>", fields.join(","))
        }
        Type::Array(element) => format!("array<{}>", glue(*element)),
        Type::Map => "map<string,string>".to_owned(),
    }
}
