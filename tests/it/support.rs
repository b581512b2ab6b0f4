//! Running the programs, reading lakes back, and saying loudly what was skipped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use flate2::{Compression, write::GzEncoder};
use parquet::file::reader::{FileReader, SerializedFileReader};

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("standard output is text")
    }

    /// Asserts the exit code, showing standard error if it is another.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        self
    }

    /// Asserts that standard error says something.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "'{text}' is not in:\n{}", self.stderr);
        self
    }
}

/// `flowlake-agent`, to be given arguments.
pub(crate) fn agent() -> Command {
    program("flowlake-agent")
}

/// `flowlake-converter`, to be given arguments.
pub(crate) fn converter() -> Command {
    program("flowlake-converter")
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).output().expect("the program starts").into()
}

/// Runs a command to its end with a standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // A program that stops early closes its end.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("the program ends").into()
    })
}

/// Cargo builds the binaries of other crates only when asked; the test's own build directory is where they go.
fn program(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("the test knows itself");
        let folder = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps").to_owned();
        let release = folder.ends_with("release").then_some("--release");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bins", "-p", "flowlake-agent", "-p", "flowlake-converter"]).args(release);
        // What Cargo says of the test's own package is not said of these; libraries that look at it would be built anew, twice.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                build.env_remove(name);
            }
        }
        assert!(build.current_dir(repository()).status().expect("cargo starts").success(), "the programs build");
        folder
    });
    Command::new(folder.join(name))
}

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Says something that shows though the test passes: the harness captures only what macros print.
#[expect(clippy::disallowed_methods, reason = "to get past the harness")]
pub(crate) fn loudly(message: &str) {
    writeln!(io::stderr(), "{message}").expect("standard error is there");
}

/// A folder of data that lies beside the repository and not in it; `None`, said loudly, where it is not.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let folder = repository().join("../shared").join(path);
    if folder.exists() {
        return Some(folder);
    }
    loudly(&format!("SKIPPED: no ../shared/{path} beside the repository"));
    None
}

/// The Python that has DuckDB and the OCSF schema, which `make test` sets up; `None`, said loudly, outside of it.
pub(crate) fn python() -> Option<Command> {
    let Some(python) = std::env::var_os("FLOWLAKE_PYTHON") else {
        loudly("SKIPPED: FLOWLAKE_PYTHON is not set; `make test` sets it to a Python with DuckDB");
        return None;
    };
    Some(Command::new(python))
}

/// A file in a folder, with content.
pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("the folder can be made");
    fs::write(&path, content).expect("the file can be written");
    path
}

/// Every file below a folder, by its path below it.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        // Others may take something away meanwhile.
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let entries = match fs::read_dir(folder) {
            Err(error) if is_gone(&error) => return,
            entries => entries.expect("a folder"),
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(root, &path, found);
                continue;
            }
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            match fs::read(&path) {
                Err(error) if is_gone(&error) => {}
                content => drop(found.insert(name, content.expect("a file"))),
            }
        }
    }
    let mut found = BTreeMap::new();
    if root.exists() {
        walk(root, root, &mut found);
    }
    found
}

/// The lake files below a folder.
pub(crate) fn lake_files(root: &Path) -> Vec<PathBuf> {
    let names = tree(root).into_keys().filter(|name| name.ends_with(".parquet") && !name.starts_with(".flowlake/"));
    names.map(|name| root.join(name)).collect()
}

/// Every row of a lake with its partition, as text, sorted: a multiset.
pub(crate) fn rows(root: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for path in lake_files(root) {
        let partition = path.parent().expect("in a partition").strip_prefix(root).expect("below the root").to_owned();
        let reader = SerializedFileReader::new(File::open(&path).expect("a file")).expect("Parquet");
        for row in reader.get_row_iter(None).expect("rows") {
            rows.push(format!("{} {}", partition.display(), row.expect("a row")));
        }
    }
    rows.sort();
    rows
}

/// The numbers of a replay's summary: what was read, what was recorded, and each named reason for not being.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) packets: u64,
    pub(crate) recorded: u64,
    pub(crate) not_recorded: BTreeMap<String, u64>,
}

impl Summary {
    /// Reads it from what a replay said.
    pub(crate) fn of(said: &str) -> Self {
        let mut summary = Self { packets: u64::MAX, recorded: u64::MAX, not_recorded: BTreeMap::new() };
        for line in said.lines().filter(|line| line.starts_with(' ')) {
            let (number, what) = line.trim_start().split_once(' ').expect("a number and what it counts");
            let number: u64 = number.parse().expect("a number");
            match what.split_once(": ") {
                Some(("not recorded", reason)) => drop(summary.not_recorded.insert(reason.to_owned(), number)),
                _ if what.starts_with("packets read") => summary.packets = number,
                _ if what.starts_with("recorded") => summary.recorded = number,
                _ => panic!("a line that the summary should not have: {line}"),
            }
        }
        summary
    }

    /// Whether every packet went somewhere.
    pub(crate) fn adds_up(&self) -> bool {
        self.packets == self.recorded + self.not_recorded.values().sum::<u64>()
    }
}

/// One column of text records with a header, as numbers.
pub(crate) fn column(text: &str, name: &str) -> Vec<u64> {
    let mut lines = text.lines();
    let header = lines.next().expect("a header");
    let index = header.split(' ').position(|field| field == name).expect("the column");
    lines.map(|line| line.split(' ').nth(index).expect("a value").parse().expect("a number")).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
