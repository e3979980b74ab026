//! `TLS_CA_FILE`: the certificate authorities that are trusted besides the web roots.

use std::io::Write;

use tempfile::NamedTempFile;

use super::{AUTHORITY, problem, read};

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn authority() -> String {
    std::fs::read_to_string(AUTHORITY).unwrap()
}

#[test]
fn every_certificate_in_the_file_is_trusted_and_other_parts_are_ignored() {
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let with_crlf = authority().replace('\n', "\r\n");
    let contents = [(authority(), 1), (authority() + key + &authority(), 2), (with_crlf, 1)];
    for (content, certificates) in contents {
        let file = file(&content);
        let config = read(&[("TLS_CA_FILE", file.path().to_str().unwrap())]).unwrap();
        assert_eq!(config.authorities.len(), certificates);
        assert_eq!(config.service_roots(config.authorities.clone()).len(), 2 * certificates);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_a_problem_that_repeats_nothing_of_it() {
    let end = authority().find("-----END").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nU0VDUkVU\n-----END CERTIFICATE-----\n";
    let contents = [
        (String::new(), "contains no certificate"),
        ("SECRET".to_owned(), "contains no certificate"),
        (
            "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned(),
            "contains no certificate",
        ),
        (authority()[..end].to_owned(), "is not a valid PEM file"),
        ("-----BEGIN CERTIFICATE SECRET\n".to_owned(), "is not a valid PEM file"),
        (authority().replace("MII", "SECRET?"), "is not a valid PEM file"),
        (broken.to_owned(), "certificate 1 of the file is not an X.509 certificate"),
        (authority() + broken, "certificate 2 of the file is not an X.509 certificate"),
    ];
    for (content, reason) in contents {
        let file = file(&content);
        let path = file.path().to_str().unwrap();
        assert_eq!(problem(&[("TLS_CA_FILE", path)]), format!("TLS_CA_FILE={path}: {reason}"), "{content}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_with_the_reason() {
    for (path, reason) in [("/nowhere/ca.pem", "No such file or directory"), ("/", "Is a directory")] {
        let problem = problem(&[("TLS_CA_FILE", path)]);
        assert!(problem.starts_with(&format!("TLS_CA_FILE={path}: cannot be read: {reason}")), "{problem}");
    }
}
