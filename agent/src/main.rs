//! `flowlake-agent`: see [`flowlake_agent::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    flowlake_agent::command::run(std::env::args_os()).into()
}
