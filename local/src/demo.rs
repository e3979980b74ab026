//! Every event of `events/` through the function under `cargo lambda`, held to its expectation.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Case, Checked};

use crate::Failure;

mod emulator;
mod processes;
mod table;

use emulator::Emulator;
use table::Table;

/// Plays all cases; fails when one does not end as expected.
pub(crate) async fn run() -> Result<ExitCode, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let cases = expectations::load(&root.join("events"))?;
    let services = Services::start().await?;
    let mut emulator = Emulator::start(&root, &services).await?;

    let table = Table::of(&cases, std::io::stdout().is_terminal());
    print!("\n{}", table.head());
    let mut failed = 0;
    for case in &cases {
        let checked = play(case, &services, &mut emulator).await?;
        print!("{}", table.rows(case, &checked));
        failed += usize::from(!checked.differences.is_empty());
    }
    println!("demo: {} passed, {failed} failed", cases.len() - failed);
    Ok(ExitCode::from(u8::from(failed > 0)))
}

async fn play(case: &Case, services: &Services, emulator: &mut Emulator) -> Result<Checked, Failure> {
    case.given.apply(services)?;
    let invoked = emulator.invoke(&case.file).await;
    let response = invoked.map_err(|failure| format!("{}: {failure}", case.name()))?;
    let summaries = emulator.summaries(case.record_count()).await;
    Ok(case.check(services, &response, &summaries))
}
