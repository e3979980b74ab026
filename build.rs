//! Generates the gRPC client of the inventory service from `proto/`.

#![forbid(unsafe_code)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["reservation/v1/inventory.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .codec_path("crate::services::inventory::codec::SmallMessages")
        .compile_fds(files)?;
    Ok(())
}
