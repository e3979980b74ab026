//! `list`: what is shown, the filters, the formats, and that nothing is lost or hidden.

use std::io::Write;
use std::process::{Command, Stdio};

use reservation_worker::reason::Reason;
use serde_json::{Value, json};
use strum::VariantArray;

use crate::fixture::{Fixture, approved, expired, failed, root, text};
use crate::insights::insights;
use crate::proxy::Proxy;

#[tokio::test]
async fn every_letter_is_listed_with_its_facts_and_is_visible_afterwards() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), expired("r2"), "nonsense".to_owned()]).await;
    fixture.log(&[(&ids[0], "paid_but_expired"), (&ids[1], "inventory_unavailable")]).await;
    let listed = fixture.run(&["list", "--output", "json"]).await.succeeded();
    let row = |id: &str| listed.rows().into_iter().find(|row| row["message_id"] == id).unwrap();
    assert_eq!(listed.rows().len(), 3);
    let first = row(&ids[0]);
    assert_eq!(
        [&first["event_type"], &first["reservation_id"], &first["reason_code"], &first["reason"]],
        ["payment.approved", "r1", "paid_but_expired", "because paid_but_expired"]
    );
    assert_eq!(first["receives"], 5);
    assert!(first["advice"].as_str().unwrap().starts_with("Refund the payment"), "{first}");
    assert!(first["last_receive"].is_string() && first["sent"].is_string(), "{first}");
    let unreadable = row(&ids[2]);
    assert_eq!([&unreadable["event_type"], &unreadable["reason_code"]], ["unknown", "invalid_payload"]);
    assert_eq!(unreadable["reason"], "body: is not a JSON object");
    assert_eq!(fixture.dead_depth().await, (3, 0));
}

#[tokio::test]
async fn the_filters_select_letters_and_groups_count_them() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), approved("r2"), expired("r3"), failed("r4")]).await;
    fixture.log(&[(&ids[0], "paid_but_expired"), (&ids[2], "inventory_unavailable")]).await;
    for (filter, expected) in [
        (vec!["--reason", "paid_but_expired"], vec![0]),
        (vec!["--reason", "unknown"], vec![1, 3]),
        (vec!["--type", "payment.approved"], vec![0, 1]),
        (vec!["--type", "payment.failed", "--type", "reservation.expired"], vec![2, 3]),
        (vec!["--reservation", "r3"], vec![2]),
        (vec!["--message", ids[3].as_str()], vec![3]),
        (vec!["--older-than", "1h"], vec![]),
        (vec!["--newer-than", "1h", "--type", "payment.failed"], vec![3]),
    ] {
        let arguments = [&["list", "--output", "json"], &filter[..]].concat();
        let rows = fixture.run(&arguments).await.succeeded().rows();
        let mut listed: Vec<_> = rows.iter().map(|row| row["message_id"].as_str().unwrap()).collect();
        let mut expected: Vec<_> = expected.iter().map(|index: &usize| ids[*index].as_str()).collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{filter:?}");
    }
    let groups = async |by| {
        let rows = fixture.run(&["list", "--group-by", by, "--output", "json"]).await.succeeded().rows();
        rows.iter().map(|row| json!([row["group"], row["letters"]])).collect::<Vec<_>>()
    };
    assert_eq!(groups("reason").await[0], json!(["unknown", 2]));
    assert_eq!(groups("type").await[0], json!(["payment.approved", 2]));
    assert_eq!(groups("day").await.len(), 1);
    assert_eq!(fixture.dead_depth().await, (4, 0));
}

#[tokio::test]
async fn a_mistyped_reason_is_an_error() {
    let fixture = Fixture::new(false).await;
    let listed = fixture.run(&["list", "--reason", "paid_but_expird"]).await;
    assert_eq!(listed.code, Some(1));
    assert!(listed.stderr.contains("paid_but_expired, "), "{}", listed.stderr);
}

#[tokio::test]
async fn a_filter_with_an_impossible_value_is_an_error_and_one_without_matches_is_a_note() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    for (filter, code, why) in [
        (["--type", "payment.aproved"], 1, "payment.approved, "),
        (["--message", "0e6f2ad1"], 1, "the letter 0e6f2ad1 was not received"),
        (["--message", ""], 2, "--message"),
        (["--reason", ""], 2, "--reason"),
        (["--type", ""], 2, "--type"),
        (["--reservation", ""], 2, "--reservation"),
        (["--reservation", "r2"], 0, "note: no letter is selected"),
    ] {
        let listed = fixture.run(&[&["list"], &filter[..]].concat()).await;
        assert!(listed.code == Some(code) && listed.stderr.contains(why), "{filter:?}: {}", listed.stderr);
    }
    let alias = ["list", "--type", "reservation.hold.expired", "--output", "json"];
    assert_eq!(fixture.run(&alias).await.succeeded().rows().len(), 1);
    assert_eq!(fixture.dead_depth().await, (1, 0));
}

#[tokio::test]
async fn without_the_log_the_tool_says_so_and_explains_unreadable_bodies_itself() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1"), json!({ "type": "reservation.expired" }).to_string()]).await;
    let listed = fixture.run(&["list", "--output", "json"]).await.succeeded();
    assert!(listed.stderr.contains("the worker's log cannot be searched"), "{}", listed.stderr);
    let reasons: Vec<_> = listed.rows().iter().map(|row| row["reason_code"].clone()).collect();
    assert!(
        reasons.contains(&json!("unknown")) && reasons.contains(&json!("invalid_payload")),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn the_trace_of_the_producer_is_shown() {
    let fixture = Fixture::new(false).await;
    let trace = "5759e988bd862e3fe1be46a994272793";
    let send = fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url);
    let parent = text(&format!("00-{trace}-53995c3f42cd8ad8-01"));
    send.message_body(expired("r1")).message_attributes("traceparent", parent).send().await.unwrap();
    let rows = fixture.run(&["list", "--output", "json"]).await.succeeded().rows();
    assert_eq!(rows[0]["trace_id"], trace);
}

#[tokio::test]
async fn csv_has_a_row_for_each_letter() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[approved("r1"), "a \"quoted\", text".to_owned()]).await;
    let listed = fixture.run(&["list", "--output", "csv"]).await.succeeded();
    let mut reader = csv::Reader::from_reader(listed.stdout.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert!(reader.headers().unwrap().iter().any(|name| name == "reservation_id"));
}

#[tokio::test]
async fn csv_without_letters_has_a_header() {
    let fixture = Fixture::new(false).await;
    for (more, column) in [(&[][..], "reservation_id"), (&["--group-by", "reason"], "letters")] {
        let listed = fixture.run(&[&["list", "--output", "csv"], more].concat()).await.succeeded();
        let header: Vec<_> = listed.stdout.lines().collect();
        assert!(header.len() == 1 && header[0].split(',').any(|name| name == column), "{header:?}");
    }
}

#[tokio::test]
async fn text_from_others_is_shown_without_terminal_sequences_and_spreadsheet_formulas() {
    let fixture = Fixture::new(false).await;
    let bodies = [expired("r1"), "\u{9b}2J\u{202e}=1+1".to_owned(), approved("\u{202e}r2")];
    let ids = fixture.send_dead_letters(&bodies).await;
    fixture.log(&[(&ids[0], "=cmd|' /C calc'!A0\u{1b}]0;title\u{7}\u{9b}31m\u{202e}")]).await;
    let is_obeyed = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
    for output in ["table", "json", "csv"] {
        for more in [&[][..], &["--group-by", "reason"], &["--what-if"]] {
            let arguments = [&["list", "--output", output], more].concat();
            let shown = fixture.run(&arguments).await.succeeded();
            assert!(shown.stdout.contains("=cmd|"), "{arguments:?}: {}", shown.stdout);
            let all = format!("{}{}", shown.stdout, shown.stderr);
            assert!(!all.contains(is_obeyed), "{arguments:?}: {all:?}");
            let mut reader = csv::Reader::from_reader(shown.stdout.as_bytes());
            let mut fields = reader
                .records()
                .filter_map(Result::ok)
                .flat_map(|row| row.iter().map(str::to_owned).collect::<Vec<_>>());
            assert!(output != "csv" || fields.all(|field| !field.starts_with('=')), "{}", shown.stdout);
        }
    }
}

#[tokio::test]
async fn the_table_has_no_line_of_more_than_80_columns() {
    let fixture = Fixture::new(false).await;
    let long = "r".repeat(128);
    let ids = fixture.send_dead_letters(&[approved(&long), expired("r2"), "nonsense".to_owned()]).await;
    fixture
        .log(&[(&ids[0], "failed_payment_of_confirmed"), (&ids[1], "reservation_api_wrong_address")])
        .await;
    for arguments in [&["list"][..], &["list", "--group-by", "reason"], &["list", "--what-if"]] {
        let listed = fixture.run(arguments).await.succeeded();
        let longest = listed.stdout.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{longest}");
        assert!(listed.stdout.contains("reservation_api_wrong_address"), "{}", listed.stdout);
        let is_broken = |line: &str| line.ends_with("dead-") || line.ends_with("--");
        assert!(!listed.stdout.lines().any(is_broken), "a command is broken at a hyphen: {}", listed.stdout);
    }
}

#[tokio::test]
async fn a_reader_that_ends_early_is_no_error() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..300).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    for format in ["table", "json", "csv"] {
        let mut command = fixture.command(&["list", "--output", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(fixture.dead_depth().await, (300, 0));
}

/// Prints the reservations of the letters. Where jq is not installed, Python reads the output instead.
fn reader_of_json() -> String {
    if Command::new("jq").arg("--version").output().is_ok() {
        return "jq --raw-output '.[].reservation_id'".to_owned();
    }
    // Not by `eprintln!`, which the test harness captures.
    std::io::stderr().write_all(b"NOT CHECKED: output piped to jq, because jq is missing\n").unwrap();
    let python = root().join(".tools/venv/bin/python");
    let program = "import json, sys; [print(letter[\"reservation_id\"] or \"null\") for letter in json.load(sys.stdin)]";
    format!("{} -c '{program}'", python.display())
}

#[tokio::test]
async fn another_program_understands_the_output() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1"), approved("r2"), "nonsense".to_owned()]).await;
    let list = fixture.command(&["list", "--output", "json"]);
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", &format!("\"$0\" \"$@\" | {}", reader_of_json())]);
    shell.current_dir(fixture.directory.path()).env_clear().envs(fixture.environment());
    shell.env("PATH", std::env::var("PATH").unwrap()).arg(list.get_program()).args(list.get_args());
    let listed = Fixture::output(shell).await.succeeded();
    let mut reservations: Vec<_> = listed.stdout.lines().collect();
    reservations.sort_unstable();
    assert_eq!(reservations, ["null", "r1", "r2"]);
}

#[tokio::test]
async fn letters_of_one_mebibyte_and_bodies_that_are_no_json_are_listed() {
    let fixture = Fixture::new(false).await;
    let large = format!("{}{}", expired("r1"), " ".repeat(1024 * 1024 - expired("r1").len()));
    fixture.send_dead_letters(&[large]).await;
    fixture
        .send_dead_letters(&["\u{fffd}\u{fffd}\u{1f4a3}".to_owned(), "{\"type\":".to_owned(), " ".to_owned()])
        .await;
    let rows = fixture.run(&["list", "--output", "json"]).await.succeeded().rows();
    assert_eq!(rows.len(), 4);
    let invalid = |row: &&Value| row["reason_code"] == "invalid_payload";
    assert_eq!(rows.iter().filter(invalid).count(), 3);
    assert!(rows.iter().any(|row| row["reservation_id"] == "r1"));
}

/// Runs a command in a pseudo-terminal of 80 columns, and prints what the terminal gets.
const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while output := os.read(terminal, 65536):
        sys.stdout.buffer.write(output)
except OSError:  # the command has ended
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// The text without the sequences that move the cursor or choose a colour.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}

#[tokio::test]
async fn a_terminal_of_80_columns_shows_a_progress_bar_and_no_line_that_wraps() {
    let fixture = Fixture::new(false).await;
    let mut bodies: Vec<_> = (0..200).map(|number| expired(&format!("r{number}"))).collect();
    bodies.push(approved(&"r".repeat(128)));
    fixture.send_dead_letters(&bodies).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let apply = ["apply", "plan.json", "--rate", "300", "--allow-reason", "unknown"];
    for (arguments, expected) in [
        (&["list", "--what-if"][..], &["reading the queue", "reading the reservations"][..]),
        (&apply, &["applying", "201 letters redriven"]),
        (&["list", "--help"], &["--what-if"]),
    ] {
        let shown = in_terminal(&fixture, arguments).await;
        assert!(expected.iter().all(|text| shown.contains(text)), "{shown}");
        let longest = shown.split(['\r', '\n']).max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{longest}");
    }
}

/// What a terminal of 80 columns shows.
async fn in_terminal(fixture: &Fixture, arguments: &[&str]) -> String {
    let command = fixture.command(arguments);
    let mut terminal = Command::new(root().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL]).arg(command.get_program()).args(command.get_args());
    terminal.current_dir(fixture.directory.path());
    terminal.env_clear().envs(fixture.environment()).env("TERM", "xterm-256color");
    without_escapes(&Fixture::output(terminal).await.succeeded().stdout)
}

/// Runs a command, and prints the time and the memory that it took.
const MEASURE: &str = "
import resource, subprocess, sys, time
begin = time.monotonic()
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
memory = used.ru_maxrss // (1024 if sys.platform == 'linux' else 1024 * 1024)
cpu = used.ru_utime + used.ru_stime
print(f'{time.monotonic() - begin:.1f} s, {cpu:.1f} s of CPU time, {memory} MiB', file=sys.stderr)
sys.exit(code)
";

/// `make measure-dead-letters` runs this test with 10,000 letters over ElasticMQ: moto needs minutes for as many.
#[tokio::test]
async fn letters_of_every_reason_are_grouped() {
    let fixture = crate::endpoint::fixture(false).await;
    let count: usize = std::env::var("DEAD_LETTERS_MANY").map_or(420, |text| text.parse().unwrap());
    let bodies: Vec<_> = (0..count).map(|number| expired(&format!("r{number}"))).collect();
    let ids = fixture.send_dead_letters(&bodies).await;
    let reasons = Reason::VARIANTS.iter().cycle().map(|reason| reason.as_str().to_owned());
    let proxy =
        Proxy::replying(fixture.sqs.endpoint(), insights(ids.into_iter().zip(reasons).collect())).await;
    let arguments = ["list", "--group-by", "reason", "--output", "json", "--endpoint-url", &proxy.endpoint];
    let list = fixture.command(&arguments);
    let mut measure = Command::new(root().join(".tools/venv/bin/python"));
    measure.args(["-c", MEASURE]).arg(list.get_program()).args(list.get_args());
    measure.env_clear().envs(fixture.environment());
    let listed = Fixture::output(measure).await.succeeded();
    writeln!(std::io::stderr(), "{count} letters: {}", listed.stderr).unwrap();
    let rows = listed.rows();
    assert_eq!(rows.len(), Reason::VARIANTS.len());
    let letters = rows.iter().map(|row| row["letters"].as_u64().unwrap());
    assert_eq!(letters.sum::<u64>(), count as u64);
    assert_eq!(fixture.dead_depth().await, (count, 0));
}
