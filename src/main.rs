//! The deployed program. It only calls the library, because the compiler compiles an async function again in each crate
//! that polls it, which makes the zip larger.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    reservation_worker::function::run()
}
