//! `sealbook demo`.
use crate::arguments::DemoArguments;
use crate::error::Result;
/// Runs the demo.
///
/// # Errors
/// What went wrong.
pub fn run(_: &DemoArguments) -> Result<()> { Ok(()) }
