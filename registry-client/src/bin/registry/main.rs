//! `registry`: reads, publishes and verifies at a node of the registry. Texts are German, because
//! those who use it are; code and exit codes are not.

mod args;
mod commands;
mod documents;
mod errors;
mod json;
mod output;
mod words;

use std::process::ExitCode;

use crate::{args::Cli, errors::CliError};

fn main() -> ExitCode {
    let cli = match registry_client::usage::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(report) = error.report() {
                eprintln!("{report}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Internal(format!("Laufzeit startet nicht: {error}")))?;
    let result = runtime.block_on(commands::run(cli));
    // a name look-up that hangs must not hold the process
    runtime.shutdown_background();
    result
}
