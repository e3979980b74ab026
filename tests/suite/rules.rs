//! The structure that `design.md` asks for, held by reading the sources.

use std::fs;
use std::path::Path;

mod proto;

/// What may appear only in these files: names, or directories with a slash at the end.
const PLACES: [(&str, &[&str]); 4] = [
    ("aws_lambda_events", &["batch.rs", "record.rs"]),
    ("std::env", &["config.rs", "config/"]),
    ("tonic", &["inventory.rs", "inventory/", "telemetry.rs", "telemetry/"]),
    (
        "reqwest",
        &["aws.rs", "http_client.rs", "reservation_api.rs", "reservation_api/", "telemetry.rs", "telemetry/"],
    ),
];

/// Which modules must not know of which others.
const STRANGERS: [(&[&str], &[&str]); 5] = [
    // The workflow knows nothing of SQS.
    (&["workflow.rs"], &["batch", "record", "schedule", "worker"]),
    // The clients know nothing of events, nor of each other.
    (
        &["reservation_api.rs", "reservation_api/"],
        &["batch", "event", "inventory", "outcome", "record", "schedule", "worker", "workflow"],
    ),
    (
        &["inventory.rs", "inventory/"],
        &["batch", "event", "outcome", "record", "reservation_api", "schedule", "worker", "workflow"],
    ),
    // The batch engine knows nothing of reservations.
    (
        &["batch.rs", "schedule.rs", "schedule/"],
        &["event", "inventory", "reservation", "reservation_api", "worker", "workflow"],
    ),
    // An event is what its body says, whoever brought it.
    (&["event.rs", "event/"], &["batch", "outcome", "record", "schedule", "worker", "workflow"]),
];

/// The function's sources without their tests, by their path below `src/`.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut sources) = (vec![src.clone()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push((name, without_tests(&fs::read_to_string(&path).unwrap())));
            }
        }
    }
    sources.sort();
    sources
}

/// Tests stand at a file's end.
fn without_tests(source: &str) -> String {
    let (source, _) = source.split_once("#[cfg(test)]\nmod ").unwrap_or((source, ""));
    source.to_owned()
}

/// [`sources`] without lines that are comments.
fn code() -> Vec<(String, String)> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = |source: String| source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    sources().into_iter().map(|(file, source)| (file, code(source))).collect()
}

fn is_in(file: &str, places: &[&str]) -> bool {
    let holds = |place: &&str| file == *place || (place.ends_with('/') && file.starts_with(*place));
    places.iter().any(holds)
}

/// Whether the code has this name, and not only as a part of another.
fn has(code: &str, name: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(in_name) && !code[at + name.len()..].starts_with(in_name))
}

/// The lines of a section of `Cargo.toml`, up to the next.
fn section(manifest: &str, title: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let manifest = fs::read_to_string(path).unwrap();
    let lines = manifest.lines().skip_while(|line| *line != title).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    assert!(!lines.is_empty(), "no section {title}");
    lines
}

fn sets(section: &[String], setting: &str) -> bool {
    section.iter().any(|line| line.split('#').next().unwrap().trim() == setting)
}

#[test]
fn each_outside_interface_is_used_in_its_own_place_alone() {
    for (name, places) in PLACES {
        let users = code().into_iter().filter(|(_, code)| has(code, name)).map(|(file, _)| file);
        let users: Vec<_> = users.collect();
        assert!(!users.is_empty(), "nothing uses {name}");
        let strays: Vec<_> = users.iter().filter(|file| !is_in(file, places)).collect();
        assert!(strays.is_empty(), "{name} is used in {strays:?}, and should be only in {places:?}");
    }
}

#[test]
fn modules_know_of_no_others_than_they_should() {
    for (files, strangers) in STRANGERS {
        let files_code: Vec<_> = code().into_iter().filter(|(file, _)| is_in(file, files)).collect();
        assert!(!files_code.is_empty(), "{files:?} are no files");
        for (file, code) in files_code {
            // A list of modules would be overlooked below.
            assert!(!code.contains("use crate::{"), "{file}: one `use crate::` a module");
            for stranger in strangers {
                assert!(!has(&code, &format!("crate::{stranger}")), "{file} knows of {stranger}");
            }
        }
    }
}

#[test]
fn the_functions_own_code_neither_unwraps_nor_leaves_anything_to_do() {
    for (file, code) in code() {
        for forbidden in [".unwrap()", ".expect(", ".unwrap_err()", "todo!(", "unimplemented!("] {
            assert!(!code.contains(forbidden), "{file} has {forbidden}");
        }
    }
}

#[test]
fn source_files_are_short() {
    let mut lengths: Vec<_> =
        sources().into_iter().map(|(file, source)| (source.lines().count(), file)).collect();
    lengths.sort();
    let (longest, file) = lengths.last().unwrap();
    assert!(*longest <= 300, "{file} has {longest} lines");
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median <= 120, "half of the files have more than {median} lines");
}

#[test]
fn a_panic_unwinds_in_a_release_build() {
    assert!(sets(&section("Cargo.toml", "[profile.release]"), r#"panic = "unwind""#));
}

#[test]
fn no_crate_of_the_workspace_may_be_unsafe() {
    assert!(sets(&section("Cargo.toml", "[workspace.lints.rust]"), r#"unsafe_code = "forbid""#));
    let workspace = section("Cargo.toml", "[workspace]").join("");
    let (_, members) = workspace.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.contains(&"local"), "{members:?}");
    for member in members.into_iter().chain(["."]) {
        let manifest = format!("{member}/Cargo.toml");
        assert!(sets(&section(&manifest, "[lints]"), "workspace = true"), "{manifest}");
    }
}

#[test]
fn nothing_of_the_desk_can_reach_the_deployed_function() {
    let names_local = |line: &String| line.contains("reservation-worker-local");
    assert!(section("Cargo.toml", "[dev-dependencies]").iter().any(names_local));
    for title in ["[dependencies]", "[build-dependencies]"] {
        assert!(!section("Cargo.toml", title).iter().any(names_local), "{title}");
    }
}
