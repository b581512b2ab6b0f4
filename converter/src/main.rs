//! `flowlake-converter`: see [`flowlake_converter::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    flowlake_converter::command::run(std::env::args_os()).into()
}
