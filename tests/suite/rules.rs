//! Rules for the structure of the code, checked by reading the source files.

use std::fs;
use std::path::Path;

mod imports;
mod proto;

/// Names that only these files may contain. An entry that ends with a slash is a directory.
const ALLOWED_FILES: [(&str, &[&str]); 4] = [
    ("std::env", &["config.rs", "config/"]),
    ("aws_sdk_sqs", &["function.rs", "aws.rs"]),
    ("tonic", &["call.rs", "grpc_channel.rs", "services/inventory.rs", "services/inventory/", "telemetry/"]),
    ("reqwest", &["aws.rs", "http_client.rs", "services/reservation_api.rs", "services/reservation_api/"]),
];

/// The source files of the function without their tests, each with its path relative to `src/`.
fn sources() -> Vec<(String, String)> {
    files_below("src")
}

/// The source files below a directory without their tests, each with its path relative to the directory.
fn files_below(directory: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
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

/// Tests are at the end of a file.
fn without_tests(source: &str) -> String {
    let (source, _) = source.split_once("#[cfg(test)]\nmod ").unwrap_or((source, ""));
    source.to_owned()
}

/// [`sources`] without comment lines.
fn code() -> Vec<(String, String)> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = |source: String| source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    sources().into_iter().map(|(file, source)| (file, code(source))).collect()
}

fn is_in(file: &str, entries: &[&str]) -> bool {
    let matches = |entry: &&str| file == *entry || (entry.ends_with('/') && file.starts_with(*entry));
    entries.iter().any(matches)
}

/// Whether the code contains this name as a whole word.
fn contains_word(code: &str, name: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(in_name) && !code[at + name.len()..].starts_with(in_name))
}

/// The lines of a section of a Cargo manifest.
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
fn each_external_interface_is_used_only_in_its_own_files() {
    for (name, allowed) in ALLOWED_FILES {
        let users = code().into_iter().filter(|(_, code)| contains_word(code, name)).map(|(file, _)| file);
        let users: Vec<_> = users.collect();
        assert!(!users.is_empty(), "nothing uses {name}");
        let others: Vec<_> = users.iter().filter(|file| !is_in(file, allowed)).collect();
        assert!(others.is_empty(), "{name} is used in {others:?}, but is allowed only in {allowed:?}");
    }
}

#[test]
fn deployed_code_contains_no_unwrap_expect_or_todo() {
    for (file, code) in code() {
        for forbidden in [".unwrap()", ".expect(", ".unwrap_err()", "todo!(", "unimplemented!("] {
            assert!(!code.contains(forbidden), "{file} contains {forbidden}");
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
fn a_panic_unwinds_in_release_builds() {
    assert!(sets(&section("Cargo.toml", "[profile.release]"), r#"panic = "unwind""#));
}

#[test]
fn every_crate_of_the_workspace_forbids_unsafe_code() {
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
fn the_deployed_function_does_not_depend_on_the_local_services() {
    let names_local = |line: &String| line.contains("reservation-worker-local");
    assert!(section("Cargo.toml", "[dev-dependencies]").iter().any(names_local));
    for title in ["[dependencies]", "[build-dependencies]"] {
        assert!(!section("Cargo.toml", title).iter().any(names_local), "{title}");
    }
}

/// The tool predicts what the worker would do, and must not do it.
#[test]
fn only_one_file_of_the_operators_tool_has_clients_of_the_services() {
    let users: Vec<_> = files_below("ops/src")
        .into_iter()
        .filter(|(_, source)| {
            ["ReservationApi,", "ReservationApi::", "InventoryServiceClient", "Worker::new", "Workflow {"]
                .iter()
                .any(|client| source.contains(client))
        })
        .map(|(file, _)| file)
        .collect();
    assert_eq!(users, ["services.rs"]);
    let (_, services) = files_below("ops/src").into_iter().find(|(file, _)| file == "services.rs").unwrap();
    for change in [".end(", "release_hold", "commit_reservation"] {
        assert!(!services.contains(change), "{change}");
    }
}
