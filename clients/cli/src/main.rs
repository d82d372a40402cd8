//! `sealbook`: the command line for every member, for the operator of a network on one machine, and for the auditor.
//!
//! Results go to standard output, everything else to standard error. Exit codes are in the README.

#![forbid(unsafe_code)]

mod action;
mod arguments;
mod audit;
mod ca;
mod commands;
mod demo;
mod doctor;
mod error;
mod events;
mod governance;
mod journal;
mod keys;
mod members;
mod network;
mod nodes;
mod operations;
mod output;
mod policy;
mod progress;
mod recovery;
mod registry;
mod renewal;
mod scenario;
mod session;
mod transactions;
mod views;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
