//! The direction of imports: no circles, and in `src/` only from a module to one below it in the map of `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The source folders of the crates.
const CRATES: [&str; 5] = ["src", "local/src", "crates/sqs-batch/src", "ops/src", "benches/performance"];

/// The files of a crate, by the path of their module; the root is the empty path.
fn modules(src: &Path) -> BTreeMap<Vec<String>, PathBuf> {
    let (mut folders, mut modules) = (vec![(src.to_owned(), Vec::new())], BTreeMap::new());
    while let Some((folder, path)) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            let mut path = path.clone();
            path.push(entry.file_stem().unwrap().to_str().unwrap().to_owned());
            if entry.is_dir() {
                folders.push((entry, path));
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let is_root = path == ["lib"] || path == ["main"] && !src.join("lib.rs").exists();
                modules.insert(if is_root { Vec::new() } else { path }, entry);
            }
        }
    }
    modules
}

/// The paths that a source file names below `crate::` and `super::`, as paths of modules and their items.
fn named_paths(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let (code, _) = source.split_once("#[cfg(test)]\nmod ").unwrap_or((source, ""));
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut paths = Vec::new();
    for (keyword, base) in [("crate::", &[][..]), ("super::", &module[..module.len().saturating_sub(1)])] {
        for (at, _) in code.match_indices(keyword) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                add_paths(&code[at + keyword.len()..], base.to_vec(), &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths at the beginning of `text`, such as `a::{b, c::D}`.
fn add_paths(text: &str, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut item) = (0, 0);
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    add_paths(list[item..at].trim_start(), path.clone(), paths);
                    item = at + 1;
                    if character == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    path.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) => add_paths(rest, path, paths),
        None => paths.push(path),
    }
}

/// Which modules each module imports from.
fn imports(src: &str) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let modules = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join(src));
    let imports = modules.iter().map(|(module, file)| {
        let named = named_paths(&fs::read_to_string(file).unwrap(), module);
        let imported = named.into_iter().map(|mut path| {
            while !modules.contains_key(&path) {
                path.pop();
            }
            path
        });
        (module.clone(), imported.filter(|path| path != module).collect())
    });
    imports.collect()
}

#[test]
fn imports_have_no_circles() {
    for src in CRATES {
        let mut imports = imports(src);
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 10, "{src} has imports");
        // What imports nothing that is left is in no circle.
        while let Some(module) = imports
            .iter()
            .find(|(_, imported)| imported.iter().all(|path| !imports.contains_key(path)))
            .map(|(module, _)| module.clone())
        {
            imports.remove(&module);
        }
        assert!(imports.is_empty(), "circles of imports in {src}: {imports:#?}");
    }
}

#[test]
fn a_module_of_the_worker_uses_only_modules_below_it_in_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let map: Vec<_> =
        map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(map.contains(&"worker") && map.contains(&"event"), "{map:?}");
    let position =
        |path: &Vec<String>| map.iter().position(|module| Some(*module) == path.first().map(String::as_str));
    for (module, imported) in imports("src") {
        let Some(own) = position(&module) else { continue };
        for path in imported {
            let other = position(&path).unwrap_or_else(|| panic!("{path:?} is not in the map"));
            assert!(
                own <= other,
                "{} uses {}, which is above it in the map",
                module.join("::"),
                path.join("::")
            );
        }
    }
}

#[test]
fn named_paths_are_found_in_nested_imports() {
    let source =
        "use crate::{a, b::{self, C}};\nuse super::d::E;\nfn f() { crate::g::h() }\n// use crate::z;\n";
    let mut paths = named_paths(source, &["m".to_owned(), "n".to_owned()]);
    paths.sort();
    let expected = [&["a"][..], &["b", "C"], &["b", "self"], &["g", "h"], &["m", "d", "E"]];
    assert_eq!(paths, expected);
}
