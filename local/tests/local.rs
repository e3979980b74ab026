//! The command `local` in a terminal of 80 columns, as a person sees it.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use reservation_worker_local::cargo;

/// Runs a command in a pseudo-terminal of 80 columns. The further arguments are the texts to wait for and the commands of a
/// shell to run then; the last text is followed by Ctrl-C. Prints what the terminal has shown.
const TERMINAL: &str = "
import fcntl, os, pty, struct, subprocess, sys, termios, threading, time
program, argument, *steps = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 80, 0, 0))
    os.execv(program, [program, argument, '--console', 'off'])
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
        os.write(terminal, b'\\x03')
reader.join()
_, status = os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))
";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
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
    terminal.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_reservation-worker-local"), "local"]);
    terminal.args([
        "Press Ctrl-C",
        &send(expired, target),
        "reservation.expired",
        &send("nonsense", target),
        "dead-letter queue.\r\n",
    ]);
    terminal.env("FUNCTION_BINARIES", binaries).env("CARGO_TARGET_DIR", target);

    let output = terminal.output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    let (instructions, after_instructions) = shown.split_once("Press Ctrl-C to stop everything.").unwrap();
    for expected in [
        " reservation.expired rsv_example: success\r\n",
        ": invalid_payload\r\n    invalid_payload: ",
        "\r\n    advice: Correct the producer of the event",
        "\r\n    It goes to the dead-letter queue.\r\n",
        "queue: 0 ready, ",
        "Stopped. 0 messages were in the queue, and 1 in the dead-letter queue.",
        "They are gone, and so are the services with their reservations.",
    ] {
        assert!(after_instructions.contains(expected), "{expected:?} is not in {after_instructions}");
    }
    // The length of the line with the file's path depends on the folder.
    let mut instructions = instructions.lines().filter(|line| !line.starts_with("  . "));
    assert_eq!(instructions.find(|line| line.chars().count() > 80), None);
    let lines = after_instructions.replace("\x1b[K", "").replace("\r\n", "\n");
    let longest = lines.split(['\r', '\n']).max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 80, "{longest}");
}

/// Moto is a child of the program, in a process group of its own.
#[test]
fn ctrl_c_ends_the_program_although_the_queue_does_not_reply() {
    let target = tempfile::tempdir().unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let binaries = cargo::test_binaries(&workspace(), shared).unwrap();
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_reservation-worker-local"), "local"]);
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
    let program = format!("#!/bin/sh\nMAX_RETRIES=never exec {}/reservation-worker\n", built.display());
    fs::write(&function, program).unwrap();
    fs::set_permissions(&function, Permissions::from_mode(0o755)).unwrap();
    let mut terminal = Command::new(workspace().join(".tools/venv/bin/python"));
    terminal.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_reservation-worker-local"), "local"]);
    terminal.args(["Press Ctrl-C", &send("nonsense", target.path()), "warning: "]);
    terminal.env("FUNCTION_BINARIES", target.path()).env("CARGO_TARGET_DIR", target.path());

    let shown = String::from_utf8(terminal.output().unwrap().stdout).unwrap();

    let warning = "warning: the function does not start: invalid configuration: MAX_RETRIES=never:";
    assert!(shown.contains(&format!("{warning}\r\n    is not a whole number from 1 to 1000\r\n")), "{shown}");
    assert_eq!(shown.matches("warning:").count(), 1, "{shown}");
}
