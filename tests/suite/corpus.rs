//! Every input that the fuzz targets start from, on any toolchain; `make fuzz` looks for more.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::fuzz;

/// Hands every file of the directories to a target.
fn each(directories: &[&str], check: fn(&[u8])) {
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
fn bodies() {
    each(&["fuzz/corpus/event"], fuzz::event::check);
}

#[test]
fn payloads() {
    each(&["fuzz/corpus/payload", "events"], fuzz::payload::check);
}

#[test]
fn replies_of_the_reservation_api() {
    each(&["fuzz/corpus/reservation_api"], fuzz::reservation_api::check);
}

#[test]
fn replies_of_the_inventory() {
    each(&["fuzz/corpus/inventory"], fuzz::inventory::check);
}
