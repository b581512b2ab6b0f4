//! Lake files: the native column tree, field by field, and every rule that `validate` checks, each seen to fail.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    cast::AsArray,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use flowlake_tests::corpus::{self, Version};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ConvertedType, LogicalType, Type as Physical, ZstdLevel},
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::Type,
};

use crate::support::{Ran, converter, lake_files, repository, run, tree, write};

/// Security Lake's native table `vpc_flow_2_0`, less accountid, region and asl_version, in the words of Glue.
const NATIVE: &str = "\
metadata struct<product:struct<version:string,name:string,feature:struct<name:string>,vendor_name:string>,profiles:array<string>,version:string>
cloud struct<account:struct<uid:string>,region:string,zone:string,provider:string>
src_endpoint struct<port:int,svc_name:string,ip:string,intermediate_ips:array<string>,interface_uid:string,vpc_uid:string,instance_uid:string,subnet_uid:string>
dst_endpoint struct<port:int,svc_name:string,ip:string,intermediate_ips:array<string>,interface_uid:string,vpc_uid:string,instance_uid:string,subnet_uid:string>
connection_info struct<protocol_num:int,tcp_flags:int,protocol_ver:string,boundary_id:int,boundary:string,direction_id:int,direction:string>
traffic struct<packets:bigint,bytes:bigint>
time bigint
time_dt timestamp
start_time_dt timestamp
end_time_dt timestamp
status_code string
severity_id int
severity string
class_name string
class_uid int
category_name string
category_uid int
activity_name string
activity_id int
action string
action_id int
disposition string
type_uid bigint
type_name string
unmapped map<string,string>
observables array<struct<name:string,value:string,type:string,type_id:int>>";

/// A Parquet column in the words of Glue.
fn glue(column: &Type) -> String {
    let members = |of: &Type| {
        let members: Vec<String> =
            of.get_fields().iter().map(|field| format!("{}:{}", field.name(), glue(field))).collect();
        members.join(",")
    };
    if column.is_primitive() {
        let milliseconds =
            column.get_basic_info().logical_type_ref().map(|kind| format!("{kind:?}")).unwrap_or_default();
        return match (column.get_physical_type(), column.get_basic_info().logical_type_ref()) {
            (Physical::INT32, None) => "int".to_owned(),
            (Physical::INT64, None) => "bigint".to_owned(),
            (Physical::BYTE_ARRAY, Some(LogicalType::String)) => "string".to_owned(),
            (Physical::INT64, Some(LogicalType::Timestamp { .. }))
                if milliseconds.contains("MILLIS") && milliseconds.contains("is_adjusted_to_u_t_c: true") =>
            {
                "timestamp".to_owned()
            }
            (physical, logical) => format!("{physical} {logical:?}"),
        };
    }
    match column.get_basic_info().converted_type() {
        ConvertedType::LIST => format!("array<{}>", glue(&column.get_fields()[0].get_fields()[0])),
        ConvertedType::MAP => {
            let pair = column.get_fields()[0].get_fields();
            format!("map<{},{}>", glue(&pair[0]), glue(&pair[1]))
        }
        _ => format!("struct<{}>", members(column)),
    }
}

fn converted(folder: &Path) -> PathBuf {
    corpus::write(&folder.join("logs"), Version::V5, 4, 400).unwrap();
    let lake = folder.join("lake");
    run(converter().arg("convert").arg(folder.join("logs")).arg("--lake").arg(&lake)).ended(0);
    lake
}

#[test]
fn the_column_tree_is_the_native_one_field_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let lake = converted(folder.path());
    for path in lake_files(&lake) {
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        let mut found = schema.get_fields().iter();
        for expected in NATIVE.lines() {
            let column = found.next().map(|column| format!("{} {}", column.name(), glue(column)));
            assert_eq!(column.as_deref(), Some(expected), "the first difference in {}", path.display());
        }
        assert_eq!(found.next().map(|column| column.name().to_owned()), None, "a column too many");
    }
}

#[test]
fn files_keep_the_lakes_rules() {
    let folder = tempfile::tempdir().unwrap();
    let lake = converted(folder.path());
    // The fourth file's records start on two days.
    let files = lake_files(&lake);
    assert!(files.len() > 4 && files.iter().any(|file| file.to_string_lossy().contains("eventDay=20231115")));
    run(converter().arg("validate").arg(&lake)).ended(0).says("1600 rows: 0 bad");
    // Also from inside a partition.
    let inside = files[0].parent().unwrap();
    run(converter().current_dir(inside).args(["validate", "."])).ended(0).says(": 0 bad");
    // Nothing but lake files is left where readers look.
    let shown = tree(&lake.join("ext"));
    assert!(shown.keys().all(|name| name.ends_with(".parquet")), "{:?}", shown.keys());
}

/// Long hostile texts must not make long pages.
#[test]
fn pages_stay_small_whatever_the_texts() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = "start account-id region srcaddr dstaddr new-field\n".to_owned();
    for number in 0..300 {
        log.push_str(&format!("1700000000 123456789012 us-east-1 10.0.0.1 10.0.0.2 {number}{}\n", "x".repeat(60_000)));
    }
    let lake = folder.path().join("lake");
    let input = write(folder.path(), "in", log.as_bytes());
    run(converter().arg("convert").arg(input).arg("--lake").arg(&lake)).ended(0);
    run(converter().arg("validate").arg(&lake)).ended(0).says("300 rows: 0 bad");
}

/// A good lake file's rows, to be written again in other ways.
struct Rewriter {
    folder: tempfile::TempDir,
    batch: RecordBatch,
}

impl Rewriter {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let cloud = repository().join("tests/fixtures/demo/cloud");
        run(converter().arg("convert").arg(cloud).arg("--lake").arg(&lake)).ended(0);
        let file = File::open(lake_files(&lake).remove(0)).unwrap();
        let batch = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
        Self { folder, batch }
    }

    fn partition(&self) -> String {
        let lake = self.folder.path().join("lake");
        lake_files(&lake)[0].parent().unwrap().strip_prefix(&lake).unwrap().to_string_lossy().into_owned()
    }

    /// Validates batches written as a file in a partition.
    fn validated(&self, partition: &str, batches: &[RecordBatch], properties: WriterProperties) -> Ran {
        let path = write(&self.folder.path().join("bad").join(partition), "f.parquet", b"");
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), self.schema_of(batches), Some(properties)).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        run(converter().arg("validate").arg(&path))
    }

    fn schema_of(&self, batches: &[RecordBatch]) -> Arc<Schema> {
        batches.first().map_or_else(|| self.batch.schema(), RecordBatch::schema)
    }
}

fn zstd() -> WriterProperties {
    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build()
}

#[test]
fn validate_names_what_is_wrong_and_where() {
    let rewriter = Rewriter::new();
    let (partition, batch) = (rewriter.partition(), &rewriter.batch);
    let good = std::slice::from_ref(batch);
    rewriter.validated(&partition, good, zstd()).ended(0);
    let check = |partition: &str, batches: &[RecordBatch], properties, said: &str| {
        rewriter.validated(partition, batches, properties).ended(1).says("f.parquet: ").says(said);
    };
    check(&partition, &[], zstd(), "no rows");
    check(&partition, &[batch.clone(), batch.slice(0, 1)], zstd(), "rows must be sorted by time");
    check("ext/s/region=x/accountId=1/eventDay=20010101", good, zstd(), "but the partition says eventDay=20010101");
    check("ext/s/region=x/accountid=1/eventday=20010101", good, zstd(), "does not lie in ext/<source>/region=");
    let day = partition.rsplit('/').next().unwrap();
    for source in ["not-ext/s", "ext/a_name_of_more_than_20", "ext/Upper"] {
        check(&format!("{source}/region=x/accountId=1/{day}"), good, zstd(), "does not lie in ext/<source>/region=");
    }
    let changed = |name: &str, column: ArrayRef| {
        let mut columns = batch.columns().to_vec();
        columns[batch.schema().index_of(name).unwrap()] = column;
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    };
    let rows = batch.num_rows();
    let of_another_class = changed("class_uid", Arc::new(Int32Array::from(vec![3002; rows])));
    check(&partition, &[of_another_class], zstd(), "row 0: class_uid 3002");
    let other_times = TimestampMillisecondArray::from(vec![5; rows]).with_timezone("UTC");
    check(&partition, &[changed("time_dt", Arc::new(other_times))], zstd(), "row 0: time_dt is not time");
    // OCSF's own rules: captions belong to their ids, and what identifies must be there.
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let numbers = |number: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![number; rows])) };
    for (name, column, said) in [
        ("action", texts("Denied?"), "row 0: action_id "),
        ("action_id", numbers(7), "row 0: action_id 7, which OCSF does not have"),
        ("severity", texts("Low"), "row 0: severity_id 1 is 'Informational', and not 'Low'"),
        ("class_name", texts("DNS Activity"), "row 0: class_name is 'DNS Activity', and not 'Network Activity'"),
        ("disposition", texts("Logged"), "row 0: disposition 'Logged' beside action_id "),
        (
            "start_time_dt",
            Arc::new(TimestampMillisecondArray::from(vec![5; rows]).with_timezone("UTC")),
            "row 0: start_time_dt is not time_dt",
        ),
        ("type_name", texts("Network Activity: Open"), "row 0: type_name 'Network Activity: Open' does not belong"),
    ] {
        check(&partition, &[changed(name, column)], zstd(), said);
    }
    let inside = |outer: &str, inner: &str, column: ArrayRef| {
        let whole = batch.column_by_name(outer).unwrap().as_struct();
        let mut columns = whole.columns().to_vec();
        columns[whole.fields().iter().position(|field| field.name() == inner).unwrap()] = column;
        changed(outer, Arc::new(StructArray::try_new(whole.fields().clone(), columns, None).unwrap()))
    };
    for (outer, inner, column, said) in [
        ("src_endpoint", "ip", texts("10.0.0"), "row 0: src_endpoint.ip: '10.0.0' is no IP address"),
        ("connection_info", "direction", texts("Sideways"), "row 0: direction_id "),
        ("metadata", "version", texts("1.3.0"), "row 0: metadata.version is '1.3.0', and not '1.1.0'"),
        ("cloud", "provider", Arc::new(StringArray::new_null(rows)), "row 0: no cloud.provider"),
        ("src_endpoint", "port", numbers(99_999), "src_endpoint.port: 99999 is no port"),
        ("traffic", "bytes", Arc::new(Int64Array::from(vec![-1; rows])), "traffic.bytes: -1 is less than none"),
    ] {
        check(&partition, &[inside(outer, inner, column)], zstd(), said);
    }
    let other_account = format!("ext/flowlake_vpc/region=us-east-1/accountId=1/{day}");
    check(&other_account, good, zstd(), "but the partition says accountId=1");
    let nothing = |list: &ArrayRef| -> ArrayRef { arrow_array::new_null_array(list.data_type(), rows) };
    let profiles = nothing(batch.column_by_name("metadata").unwrap().as_struct().column_by_name("profiles").unwrap());
    check(&partition, &[inside("metadata", "profiles", profiles)], zstd(), "metadata.profiles does not have cloud");
    let nullable: Vec<Field> =
        batch.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let nullable = RecordBatch::try_new(Arc::new(Schema::new(nullable)), batch.columns().to_vec()).unwrap();
    check(&partition, &[nullable], zstd(), "column time: other nesting, or other fields that may be null");
    let uncompressed = WriterProperties::builder().build();
    check(&partition, good, uncompressed, "not zstd");
    let many = vec![batch.slice(0, 1); 20_000];
    let one_page = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(100 << 20)
        .set_data_page_row_count_limit(1 << 30)
        .set_write_batch_size(1 << 20)
        .build();
    // Some column has texts of more than 50 bytes a row.
    let merged = arrow_rows(&many);
    check(&partition, &[merged], one_page, "bytes unpacked; at most 1 MB");
}

/// One batch of the same row again and again.
fn arrow_rows(rows: &[RecordBatch]) -> RecordBatch {
    let path = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ArrowWriter::try_new(path.reopen().unwrap(), rows[0].schema(), None).unwrap();
    rows.iter().for_each(|row| writer.write(row).unwrap());
    writer.close().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(path.reopen().unwrap()).unwrap();
    reader.with_batch_size(rows.len()).build().unwrap().next().unwrap().unwrap()
}

/// Two fields of one type swapped: no engine that unions by position would notice.
#[test]
fn validate_sees_two_swapped_fields() {
    let rewriter = Rewriter::new();
    let batch = &rewriter.batch;
    let index = batch.schema().index_of("src_endpoint").unwrap();
    let endpoint = batch.column(index).as_struct();
    let mut fields: Vec<Arc<Field>> = endpoint.fields().iter().cloned().collect();
    let mut columns: Vec<ArrayRef> = endpoint.columns().to_vec();
    fields.swap(4, 5);
    columns.swap(4, 5);
    let fields = Fields::from(fields);
    let swapped = StructArray::try_new(fields.clone(), columns, None).unwrap();
    let mut schema: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    schema[index] = Arc::new(Field::new("src_endpoint", DataType::Struct(fields), true));
    let mut all = batch.columns().to_vec();
    all[index] = Arc::new(swapped);
    let swapped = RecordBatch::try_new(Arc::new(Schema::new(schema)), all).unwrap();
    let ran = rewriter.validated(&rewriter.partition(), &[swapped], zstd()).ended(1);
    ran.says("should be src_endpoint.interface_uid BYTE_ARRAY").says("but is src_endpoint.vpc_uid BYTE_ARRAY");
}

#[test]
fn validate_says_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("empty", &b""[..]), ("garbage", b"PAR1 garbage PAR1"), ("text", b"hello")] {
        let path = write(folder.path(), name, content);
        run(converter().arg("validate").arg(path)).ended(1).says("cannot be read");
    }
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    run(converter().arg("validate").arg(nothing)).ended(1).says("no lake file found");
}
