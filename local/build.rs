//! Generates the messages and the server of the inventory service from `proto/`.

#![forbid(unsafe_code)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto");
    let files = protox::compile(["reservation/v1/inventory.proto"], ["../proto"])?;
    // The call log contains these messages as JSON.
    let recorded = ["CheckAvailabilityRequest", "CommitReservationRequest", "ReleaseHoldRequest"];
    recorded
        .iter()
        .fold(tonic_prost_build::configure().build_client(false), |build, message| {
            build.message_attribute(format!("reservation.v1.{message}"), "#[derive(serde::Serialize)]")
        })
        .compile_fds(files)?;
    Ok(())
}
