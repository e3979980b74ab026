//! Every section number that a file of the repository cites is the number of a section of `docs/contract.md`.
//!
//! A section number without the name of a document means the contract. Sections of an RFC are not checked.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

const CONTRACT: &str = "docs/contract.md";

/// Directories without files of the repository.
const SKIPPED_DIRECTORIES: [&str; 5] = [".aws-sam", ".git", ".tools", "node_modules", "target"];

#[derive(Debug, PartialEq)]
struct Citation {
    line: usize,
    section: u32,
}

/// The text files of the repository, each with its path.
fn text_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut directories, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                if !SKIPPED_DIRECTORIES.iter().any(|name| entry.file_name() == *name) {
                    directories.push(path);
                }
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(&path).unwrap())
            {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, text));
            }
        }
    }
    files.sort();
    files
}

/// The numbers of the contract's headings.
fn sections(contract: &str) -> BTreeSet<u32> {
    let headings = contract.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(". "));
    headings.filter_map(|(number, _)| number.parse().ok()).collect()
}

/// The citations in a text. A citation can continue in the next line of a paragraph or a comment.
fn citations(text: &str) -> Vec<Citation> {
    let words: Vec<(usize, &str)> = (1..)
        .zip(text.lines())
        .flat_map(|(number, line)| {
            let content = line.trim_start().trim_start_matches(['/', '!', '#', '*', '>']);
            content.split_whitespace().map(move |word| (number, word))
        })
        .collect();
    let mut citations = Vec::new();
    for (index, (line, word)) in words.iter().enumerate() {
        let following = words[index + 1..].iter().map(|(_, word)| *word);
        let sections = match word.trim_start_matches(|char: char| !char.is_alphanumeric()) {
            "section" | "Section" => listed_sections(following.take(1)),
            "sections" | "Sections" => listed_sections(following),
            _ => continue,
        };
        let nearby = &words[index.saturating_sub(2)..words.len().min(index + 4)];
        if !nearby.iter().any(|(_, word)| word.contains("RFC")) {
            citations.extend(sections.into_iter().map(|section| Citation { line: *line, section }));
        }
    }
    citations
}

/// The numbers at the beginning of these words, which can be a list ("1, 2 and 4") or a range ("1 to 4").
fn listed_sections<'a>(words: impl Iterator<Item = &'a str>) -> Vec<u32> {
    let mut sections = Vec::new();
    let (mut is_list, mut is_range) = (true, false);
    for word in words {
        match (word, section_numbers(word)) {
            ("and" | "or", _) => is_list = true,
            ("to" | "through" | "-" | "–", _) => (is_list, is_range) = (true, true),
            (_, Some(numbers)) if is_list => {
                let first =
                    if is_range { sections.last().map_or(0, |last| last + 1) } else { *numbers.start() };
                sections.extend(first..=*numbers.end());
                (is_list, is_range) = (word.ends_with(','), false);
            }
            _ => break,
        }
    }
    sections
}

/// The numbers of a word such as "3", "3)," or "3–5". A subsection ("3.1") counts as its section.
fn section_numbers(word: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.split('.').next()?.parse::<u32>().ok();
    let word = word.trim_end_matches(|char: char| !char.is_ascii_digit());
    match word.split_once(['-', '–']) {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(word).map(|section| section..=section),
    }
}

#[test]
fn every_cited_section_of_the_contract_exists() {
    let files = text_files();
    let (_, contract) = files.iter().find(|(file, _)| file == CONTRACT).expect(CONTRACT);
    let existing = sections(contract);
    assert!(!existing.is_empty(), "{CONTRACT} has no numbered sections");

    let (mut found, mut unknown) = (0, Vec::new());
    for (file, text) in &files {
        for Citation { line, section } in citations(text) {
            found += usize::from(file != CONTRACT);
            if !existing.contains(&section) {
                unknown.push(format!("{file}:{line} cites section {section}"));
            }
        }
    }
    assert!(found > 0, "no file cites a section of {CONTRACT}");
    assert!(unknown.is_empty(), "{CONTRACT} has only the sections {existing:?}:\n{}", unknown.join("\n"));
}

#[test]
fn citations_are_found_in_all_their_forms() {
    for (text, expected) in [
        ("//! Two clients (contract § 3).", vec![(1, 3)]),
        ("the contract's § 5, and 20 records", vec![(1, 5)]),
        ("contract, § 3: 2 steps", vec![(1, 3)]),
        ("§ 12 of the contract", vec![(1, 12)]),
        ("`contract.md`, §§ 2 and 3.", vec![(1, 2), (1, 3)]),
        ("§§ 1, 4, or 7, 8", vec![(1, 1), (1, 4), (1, 7), (1, 8)]),
        ("(§§ 3 to 5)", vec![(1, 3), (1, 4), (1, 5)]),
        ("(§§ 3–5)", vec![(1, 3), (1, 4), (1, 5)]),
        ("§ 6.2", vec![(1, 6)]),
        ("/// A line (contract\n/// § 8), and\n# a contract §\n# 9", vec![(2, 8), (3, 9)]),
        ("a § without a number, 3 §§, and field(\"§\", 2)", vec![]),
        ("RFC 9110, § 15, and § 10.2 of RFC 9112", vec![]),
    ] {
        // The sample texts must not be citations of this file.
        let text = text.replace("§§", "sections").replace('§', "section");
        let found: Vec<_> =
            citations(&text).into_iter().map(|citation| (citation.line, citation.section)).collect();
        assert_eq!(found, expected, "{text}");
    }
}
