//! `sealbook-node FOLDER [--until-input-closes]`: runs the node whose configuration is `FOLDER/node.toml`, until SIGTERM
//! or SIGINT, or until its standard input closes, so that a node started by a command ends with the command.
//!
//! `sealbook-node --found-votes FOLDER`: gives a founding validator the right to vote from the first committee epoch on.
//! Once, before its first start; never for a node that has voted before.
//!
//! Logs go to standard error, without party, account or instrument; `SEALBOOK_LOG` sets the level.
//! Exit codes: 0 stopped in order, 1 could not start or failed, 2 wrong use.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use sealbook_host::node::{self, NodeError};
use tracing_log::log::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Blocks and replies are many short-lived buffers that one thread makes and another drops; the system's own allocator takes
/// an eighth of a busy node's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, until_input_closes) = match arguments.as_slice() {
        ["--found-votes", folder] => return finish(node::found_votes(Path::new(folder))),
        [folder] if !folder.starts_with('-') => (*folder, false),
        [folder, "--until-input-closes"] => (*folder, true),
        _ => {
            eprintln!("error: give the folder of one node\nhint: sealbook-node network/node-1");
            return ExitCode::from(2);
        }
    };
    start_log();
    finish(node::run(Path::new(folder), until_input_closes))
}

fn start_log() {
    let filter = EnvFilter::try_from_env("SEALBOOK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .finish();
    // There is no log before this one, so neither call has anything to refuse.
    let _ = tracing::subscriber::set_global_default(log);
    // The sled engine writes trace lines while its threads end, when the log's own memory of the thread is gone: they would
    // end the node with a panic.
    let _ = tracing_log::LogTracer::init_with_filter(LevelFilter::Debug);
}

fn finish(result: Result<(), NodeError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
