//! Runs the fuzz targets on the inputs in their corpora, on any toolchain. `make fuzz` searches for new
//! inputs.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::fuzz;

/// Runs a fuzz target on every file of the directories.
fn check_every_file(directories: &[&str], check: fn(&[u8])) {
    for directory in directories {
        let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
        let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let paths: Vec<_> = files.collect();
        assert!(!paths.is_empty(), "{directory} is empty");
        for path in paths {
            let input = fs::read(&path).unwrap();
            assert!(catch_unwind(|| check(&input)).is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn every_body_in_the_corpus_passes_its_check() {
    check_every_file(&["fuzz/corpus/event"], fuzz::event::check);
}

#[test]
fn every_payload_in_the_corpus_and_every_sample_event_passes_its_check() {
    check_every_file(&["fuzz/corpus/payload", "events"], fuzz::payload::check);
}

#[test]
fn every_reservation_api_reply_in_the_corpus_passes_its_check() {
    check_every_file(&["fuzz/corpus/reservation_api"], fuzz::reservation_api::check);
}

#[test]
fn every_inventory_reply_in_the_corpus_passes_its_check() {
    check_every_file(&["fuzz/corpus/inventory"], fuzz::inventory::check);
}
