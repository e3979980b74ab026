//! The command `demo`: runs every event of `events/` through the function under `cargo lambda` and compares
//! the results with the expected ones.

mod emulator;
mod process_tree;
mod report;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Case, CaseReport};

use self::emulator::Emulator;
use crate::options::Failure;

/// Runs all cases. The exit code is 1 if the results of a case differ from the expected ones.
pub(crate) async fn run() -> Result<ExitCode, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let cases = expectations::load(&root.join("events"))?;
    let services = Services::start().await?;
    let mut emulator = Emulator::start(&root, &services).await?;

    let in_colour = std::io::stdout().is_terminal();
    println!();
    let mut failed = 0;
    for case in &cases {
        let report = run_case(case, &services, &mut emulator).await?;
        print!("{}", report::text(&case.name(), &report, in_colour));
        failed += usize::from(!report.differences.is_empty());
    }
    println!("demo: {} passed, {failed} failed", cases.len() - failed);
    Ok(ExitCode::from(u8::from(failed > 0)))
}

async fn run_case(case: &Case, services: &Services, emulator: &mut Emulator) -> Result<CaseReport, Failure> {
    case.given.apply(services)?;
    let response = emulator.invoke(&case.file).await;
    let response = response.map_err(|failure| format!("{}: {failure}", case.name()))?;
    let summaries = emulator.summaries(case.record_count()).await;
    Ok(case.check(services, &response, &summaries))
}
