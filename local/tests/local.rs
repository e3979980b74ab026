//! The command `local` and the texts of other commands in a terminal of 80 columns, as a person sees it.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::env;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use reservation_worker_local::cargo;

/// Runs a command in a pseudo-terminal of 80 columns. The first two arguments are the program and its arguments, as in a
/// shell. The further ones are the texts to wait for and the commands of a shell to run then; the last text is followed
/// by Ctrl-C. Prints what the terminal has shown.
const TERMINAL: &str = "
import contextlib, fcntl, os, pty, shlex, struct, subprocess, sys, termios, threading, time
program, arguments, *steps = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 80, 0, 0))
    os.execv(program, [program, *shlex.split(arguments)])
shown = b''
def read():
    global shown
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError:
        pass
reader = threading.Thread(target=read)
reader.start()
deadline = time.monotonic() + 120
while steps:
    text, *steps = steps
    while text.encode() not in shown and reader.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    if steps:
        command, *steps = steps
        subprocess.run(['sh', '-ec', command], check=True, stdout=subprocess.DEVNULL)
    else:
        # The program may have ended.
        with contextlib.suppress(OSError):
            os.write(terminal, b'\\x03')
reader.join()
_, status = os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))
";

const PROGRAM: &str = env!("CARGO_BIN_EXE_reservation-worker-local");
const WITHOUT_CONSOLE: &str = "local --console off";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A port that no other program uses.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

fn write_program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A command that sends a message. The addresses are in the file that `make dead-letters` uses.
fn send(body: &str, target: &Path) -> String {
    format!(
        ". {}/local.env; curl -s --aws-sigv4 aws:amz:ap-northeast-2:sqs --user test:test $EVENT_QUEUE_URL \
         -d Action=SendMessage --data-urlencode MessageBody='{body}'",
        target.display()
    )
}

#[test]
fn each_record_is_shown_in_80_columns_and_ctrl_c_says_what_is_left_behind() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), target).unwrap();
    let expired = r#"{"type":"reservation.expired","detail":{"reservation_id":"rsv_example","event_id":"evt_example"}}"#;
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    let port = free_port();
    terminal.args(["-c", TERMINAL, PROGRAM, &format!("local --console {port}")]);
    terminal.args([
        "Press Ctrl-C",
        &send(expired, target),
        "reservation.expired",
        &send("nonsense", target),
        "advice: ",
    ]);
    terminal.env("FUNCTION_BINARIES", binaries).env("CARGO_TARGET_DIR", target);

    let output = terminal.output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    let url = format!("http://127.0.0.1:{port}");
    let last = format!("\r\n\r\nConsole: {url}\r\nPress Ctrl-C to stop everything.\r\n");
    assert!(shown.contains(&last), "{shown}");
    let (instructions, after_instructions) = shown.split_once("Press Ctrl-C to stop everything.").unwrap();
    for expected in [
        " reservation.expired rsv_example: success\r\n",
        ": invalid_payload\r\n    invalid_payload: ",
        "\r\n    It goes to the dead-letter queue.\r\n    advice: Correct the producer of the event",
        "0 ready, 0 waiting, 0 in flight, 0 dead, ",
        &format!("  {url}"),
        "Stopped. 0 messages were in the queue, and 1 in the dead-letter queue.",
        "They are gone, and so are the services with their reservations.",
    ] {
        assert!(after_instructions.contains(expected), "{expected:?} is not in {after_instructions}");
    }
    assert_eq!(shown.matches("    invalid_payload: ").count(), 5, "{shown}");
    assert_eq!(shown.matches("    advice: ").count(), 1, "{shown}");
    // The length of the line with the file's path depends on the folder.
    let mut instructions = instructions.lines().filter(|line| !line.starts_with("  . "));
    assert_eq!(instructions.find(|line| line.chars().count() > 80), None);
    let lines = after_instructions.replace("\x1b[K", "").replace("\r\n", "\n");
    let lines: Vec<_> = lines.split(['\r', '\n']).collect();
    let longest = lines.iter().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 80, "{longest}");
    // The commands of the advice can be copied: they name the message, and are not broken at a hyphen.
    assert!(!lines.iter().any(|line| line.ends_with("dead-") || line.contains(" ID`")), "{lines:?}");
}

#[test]
fn a_second_make_local_leaves_the_file_of_the_first_one() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), target).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let python = workspace().join(".tools/venv/bin/python");
    let second = r#"before=$(cat "$CARGO_TARGET_DIR"/local*.env)
        "$PYTHON" -c "$TERMINAL" "$PROGRAM" "local --console off" "Press Ctrl-C" >"$CARGO_TARGET_DIR/second"
        test "$before" = "$(cat "$CARGO_TARGET_DIR"/local*.env)""#;
    let mut first = Command::new(&python);
    first.args(["-c", TERMINAL, PROGRAM, WITHOUT_CONSOLE, "Press Ctrl-C", second, "Press Ctrl-C"]);
    first.env("PYTHON", &python).env("TERMINAL", TERMINAL).env("PROGRAM", PROGRAM);
    first.env("FUNCTION_BINARIES", binaries).env("CARGO_TARGET_DIR", folder.path());

    let output = first.output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = fs::read_to_string(folder.path().join("second")).unwrap();
    assert!(
        second.contains("Another `make local` is running, so the command names this one by PROCESS."),
        "{second}"
    );
    assert!(second.contains("\n  make dead-letters PROCESS="), "{second}");
    assert!(!folder.path().join("local.env").exists());
}

#[test]
fn make_dead_letters_says_that_make_local_is_not_running_or_has_ended_during_the_build() {
    let target = tempfile::tempdir().unwrap();
    write_program(&target.path().join("cargo"), r#"rm "$CARGO_TARGET_DIR/local.env""#);
    let path = format!("{}:{}", target.path().display(), env::var("PATH").unwrap());
    let error = || {
        let mut make = Command::new("make");
        make.arg("dead-letters").current_dir(workspace());
        make.env("CARGO_TARGET_DIR", target.path()).env("PATH", &path);
        String::from_utf8(make.output().unwrap().stderr).unwrap()
    };

    fs::write(target.path().join("local.env"), "").unwrap();
    let ended = error();
    assert!(ended.contains("\nerror: make local is not running\n"), "{ended}");

    let running = process::id();
    for process in [running.to_string(), "999999999".to_owned()] {
        fs::write(target.path().join(format!("local-{process}.env")), "").unwrap();
    }
    let expected = format!(
        "error: make local is not running; another one is running: make dead-letters PROCESS={running}\n"
    );
    let not_running = error();
    assert!(not_running.starts_with(&expected), "{not_running}");
}

/// Moto is a child of the program, in a process group of its own.
#[test]
fn ctrl_c_ends_the_program_although_the_queue_does_not_reply() {
    let target = tempfile::tempdir().unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), shared).unwrap();
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL, PROGRAM, WITHOUT_CONSOLE]);
    // The child of this shell's parent with an absolute path is the program, and its only child is moto.
    let freeze_moto = "pkill -STOP -P $(pgrep -P $PPID -f '^/')";
    terminal.args(["Press Ctrl-C", freeze_moto, "ready"]);
    terminal.env("FUNCTION_BINARIES", binaries).env("CARGO_TARGET_DIR", target.path());

    let output = terminal.output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("Stopped. What is left in the queues is not known: SQS does not reply."),
        "{shown}"
    );
}

#[test]
fn a_function_that_does_not_start_shows_its_error() {
    let target = tempfile::tempdir().unwrap();
    let function = target.path().join("reservation-worker");
    let built =
        cargo::test_binaries(&workspace(), Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()).unwrap();
    write_program(&function, &format!("MAX_RETRIES=never exec {}/reservation-worker", built.display()));
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL, PROGRAM, WITHOUT_CONSOLE]);
    terminal.args(["Press Ctrl-C", &send("nonsense", target.path()), "warning: "]);
    terminal.env("FUNCTION_BINARIES", target.path()).env("CARGO_TARGET_DIR", target.path());

    let shown = String::from_utf8(terminal.output().unwrap().stdout).unwrap();

    let (before, warning) = shown.split_once(" warning: ").unwrap();
    let time = before.rsplit("\x1b[K").next().unwrap();
    assert!(time.len() == 8 && time.contains(':'), "{shown}");
    let expected = "the function does not start: invalid configuration: MAX_RETRIES=never: is not a whole number from 1 to 1000\r\n";
    assert!(warning.replace("\r\n    ", " ").starts_with(expected), "{shown}");
    assert_eq!(shown.matches("warning:").count(), 1, "{shown}");
}

#[test]
fn the_progress_of_the_build_of_the_operators_tool_is_shown_in_the_last_line() {
    let target = tempfile::tempdir().unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), shared).unwrap();
    let path = |name| target.path().join(name);
    // It compiles until the terminal has shown it.
    let build = r#"echo '   Compiling slow v1.0.0' >&2
        until test -e "$CARGO_TARGET_DIR/shown"; do sleep 0.1; done
        mkdir "$CARGO_TARGET_DIR/debug"
        cp "$CARGO_TARGET_DIR/tool" "$CARGO_TARGET_DIR/debug/dead-letters""#;
    write_program(&path("cargo"), build);
    write_program(&path("tool"), "echo '[]'");
    let port = free_port();
    let ask = format!(
        r#"curl -s http://127.0.0.1:{port}/api/dead-letters/what-if -o "$CARGO_TARGET_DIR/reply" 2>&1 >/dev/null &"#
    );
    let end =
        r#"touch "$CARGO_TARGET_DIR/shown"; until test -e "$CARGO_TARGET_DIR/reply"; do sleep 0.1; done"#;
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL, PROGRAM, &format!("local --console {port}")]);
    terminal.args(["Press Ctrl-C", &ask, " s: Compiling slow v1.0.0", end, "ready"]);
    terminal.env("FUNCTION_BINARIES", binaries).env("CARGO_TARGET_DIR", target.path());
    terminal.env("CARGO", path("cargo"));

    let shown = String::from_utf8(terminal.output().unwrap().stdout).unwrap();

    assert!(shown.contains("building dead-letters, 0 s: Compiling slow v1.0.0"), "{shown}");
    assert_eq!(fs::read_to_string(path("reply")).unwrap(), "[]");
}

#[test]
fn the_texts_of_all_commands_are_broken_only_between_words() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), target).unwrap();
    let fault = r#"--fault '{"operation":"release-hold","effect":{"http":{"status":503}}}'"#;
    let long = "x".repeat(100);
    let conflict = r#"--fault '{"operation":"commit-reservation","effect":{"reply":{"status":4}}}'"#;
    for (arguments, until, text) in [
        (
            format!("local {fault}"),
            "503",
            "the effect `http` does not exist in the protocol of the operation",
        ),
        (
            // A word that is longer than a line can be copied, too.
            format!("local --endpoint {long}"),
            "xxx",
            &format!("ENDPOINT (--endpoint) is not an http:// or https:// URL: {long}"),
        ),
        (
            "services".to_owned(),
            "services.",
            "Leave this running, and run the lines above in another shell. Ctrl-C ends the services.",
        ),
        (
            format!("load 60 {conflict}"),
            "twice.",
            "  The queue, the services and the function share this machine; make bench measures the function.",
        ),
        (format!("load 60 {conflict}"), "twice.", "receives. A person must look at them."),
    ] {
        let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
        terminal.args(["-c", TERMINAL, PROGRAM, &arguments, until]);
        terminal.env("FUNCTION_BINARIES", &binaries).env("CARGO_TARGET_DIR", target);
        let shown = String::from_utf8(terminal.output().unwrap().stdout).unwrap();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&shown).contains(&words(text)), "{arguments}: {shown}");
        let is_too_long =
            |line: &&str| !line.contains('\r') && line.contains(' ') && line.chars().count() > 80;
        assert_eq!(shown.split("\r\n").find(is_too_long), None, "{arguments}");
    }
}
