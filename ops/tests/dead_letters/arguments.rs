//! Help, completions and man pages, which come from the same definitions.

use std::fs;

use crate::fixture::Fixture;

#[tokio::test]
async fn every_command_has_help_with_examples() {
    let fixture = Fixture::new(false).await;
    let commands: [&[&str]; 7] = [
        &["--help"],
        &["list", "--help"],
        &["plan", "--help"],
        &["apply", "--help"],
        &["export", "--help"],
        &["restore", "--help"],
        &["undelivered", "--help"],
    ];
    for arguments in commands {
        let help = fixture.run(arguments).await.succeeded().stdout;
        assert!(help.contains("Examples:\n  "), "{arguments:?}: {help}");
    }
}

#[tokio::test]
async fn completions_and_man_pages_name_the_commands_and_their_options() {
    let fixture = Fixture::new(false).await;
    for shell in ["bash", "zsh", "fish"] {
        let script = fixture.run(&["completions", shell]).await.succeeded().stdout;
        assert!(script.contains("undelivered") && script.contains("group-by"), "{shell}");
    }
    let page = fixture.run(&["man"]).await.succeeded().stdout;
    assert!(page.contains("dead\\-letters") && page.contains("undelivered"), "{page}");
    fs::create_dir(fixture.path("man")).unwrap();
    fixture.run(&["man", "--directory", "man"]).await.succeeded();
    let page = fs::read_to_string(fixture.path("man/dead-letters-apply.1")).unwrap();
    assert!(page.contains("stop\\-at"), "{page}");
}

/// What bash does when somebody presses Tab.
const COMPLETE: &str = r#"
source completions.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function=$(complete -p dead-letters | sed 's/.*-F \([^ ]*\) .*/\1/')
"$function" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
echo "${COMPREPLY[@]}"
"#;

#[tokio::test]
async fn bash_completes_commands_options_and_values() {
    let fixture = Fixture::new(false).await;
    let script = fixture.run(&["completions", "bash"]).await.succeeded().stdout;
    fs::write(fixture.path("completions.bash"), script).unwrap();
    for (words, expected) in [
        (&["dead-letters", "li"][..], "list"),
        (&["dead-letters", "list", "--what"], "--what-if"),
        (&["dead-letters", "list", "--group-by", ""], "reason type day"),
        (&["dead-letters", "undelivered", "ap"], "apply"),
        (&["dead-letters", "undelivered", "plan", "--action", "r"], "redrive"),
    ] {
        let mut bash = std::process::Command::new("bash");
        bash.current_dir(fixture.directory.path()).args(["-c", COMPLETE, "bash"]).args(words);
        let completed = Fixture::output(bash).await.succeeded().stdout;
        assert_eq!(completed.trim(), expected, "{words:?}");
    }
}

#[tokio::test]
async fn without_a_stack_and_a_queue_the_error_names_both_arguments() {
    let fixture = Fixture::new(false).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dead-letters"));
    command.env_clear().envs(fixture.environment()).arg("list");
    let listed = Fixture::output(command).await;
    assert_eq!(listed.code, Some(1));
    assert!(listed.stderr.contains("--queue-url") && listed.stderr.contains("--stack"), "{}", listed.stderr);
}
