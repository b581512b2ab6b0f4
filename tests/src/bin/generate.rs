//! `flowlake-generate`: captures and flow logs of our own making, for benches, and seeds for fuzzing.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
    process::ExitCode,
};

use flowlake_tests::{
    corpus::{self, Version},
    frame::Link,
    mapping, seeds, traffic,
};

const USAGE: &str = "usage: flowlake-generate capture FILE PACKETS FLOWS | flood FILE FLOWS 0 | dropped FILE FLOWS 0 | v2 DIR FILES LINES | v5 DIR FILES LINES | seeds DIR 0 0 | mapping FILE 0 0";

#[expect(clippy::print_stderr, reason = "this is the command line")]
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(result) = generate(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flowlake-generate: {}: {error}", arguments[1]);
            ExitCode::FAILURE
        }
    }
}

fn generate(arguments: &[String]) -> Option<io::Result<()>> {
    let [kind, path, many, each] = arguments else {
        return None;
    };
    let (many, each): (u32, u32) = (many.parse().ok()?, each.parse().ok()?);
    let path = Path::new(path);
    Some(match kind.as_str() {
        "capture" => {
            File::create(path).and_then(|mut file| traffic::write(&mut file, many.into(), each.into()).map(drop))
        }
        "flood" | "dropped" => {
            let link = if kind == "flood" { Link::Ethernet } else { Link::Nflog };
            File::create(path).and_then(|mut file| traffic::write_flood(&mut file, many.into(), link).map(drop))
        }
        "v2" => corpus::write(path, Version::V2, many, each),
        "seeds" => seeds::write(path),
        "mapping" => fs::write(path, mapping::document()),
        "v5" => corpus::write(path, Version::V5, many, each),
        _ => return None,
    })
}
