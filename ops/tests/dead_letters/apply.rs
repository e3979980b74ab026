//! `plan` and `apply`: exactly what the plan says is done, and every action is in the audit file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;

use reservation_worker::reason::Reason;
use serde_json::{Value, json};

use crate::fixture::{Fixture, approved, expired, text};

fn steps(audit: &[Value], message_id: &str) -> Vec<String> {
    let lines = audit.iter().filter(|line| line["message_id"] == message_id);
    lines.map(|line| line["step"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_plan_is_redriven_with_everything_that_the_letter_has_and_nothing_else() {
    let fixture = Fixture::new(false).await;
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(expired("r1"));
    let trace = aws_sdk_sqs::types::MessageSystemAttributeValue::builder().data_type("String");
    let name = aws_sdk_sqs::types::MessageSystemAttributeNameForSends::AwsTraceHeader;
    let send = send.message_system_attributes(name, trace.string_value(header).build().unwrap());
    let sent = send.message_attributes("tenant", text("a")).message_group_id("r1").send().await.unwrap();
    let others = fixture.send_dead_letters(&[expired("r2"), "nonsense".to_owned()]).await;

    let plan = ["plan", "--action", "redrive", "--reservation", "r1"];
    let planned = fixture.run(&plan).await.succeeded();
    let applies = "plan.json contains 1 letter. To do what the plan says: `dead-letters apply plan.json`.";
    assert!(planned.stderr.contains(applies), "{}", planned.stderr);
    assert_eq!(fixture.events().await, Vec::<String>::new(), "a plan does nothing");
    let applied = fixture.run(&["apply", "plan.json"]).await.succeeded();
    assert!(applied.stderr.contains("1 letter redriven"), "{}", applied.stderr);

    let [event] = &fixture.event_messages().await[..] else { panic!("one event") };
    assert_eq!(event.body.as_deref(), Some(expired("r1").as_str()));
    assert_eq!(event.message_attributes.as_ref().unwrap()["tenant"].string_value.as_deref(), Some("a"));
    let system: BTreeMap<_, _> =
        event.attributes.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!((system["AWSTraceHeader"], system["MessageGroupId"]), (header, "r1"));
    assert_eq!(fixture.dead_depth().await, (others.len(), 0));
    let audit = fixture.audit("plan.json.audit.jsonl");
    assert_eq!(steps(&audit, sent.message_id().unwrap()), ["started", "sent", "done"]);
    assert!(
        audit.iter().all(|line| line["caller"].as_str().unwrap().starts_with("arn:aws:sts::")),
        "{audit:?}"
    );
    assert_eq!(audit[1]["new_message_id"], event.message_id.as_deref().unwrap());
    let (queue_url, sent_to) = (&fixture.queue.dlq_url, &fixture.queue.url);
    assert!(
        audit.iter().all(|line| line["queue_url"] == **queue_url && line["sent_to"] == **sent_to),
        "{audit:?}"
    );
}

#[tokio::test]
async fn a_letter_that_says_refund_due_is_redriven_only_with_a_flag_that_names_the_reason() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), approved("r2"), expired("r3")]).await;
    fixture.log(&[(&ids[0], "paid_but_expired"), (&ids[2], "inventory_unavailable")]).await;
    let planned = fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    for note in [
        "`apply` refuses this plan without --allow-reason paid_but_expired.",
        "`apply` refuses this plan without --allow-reason unknown.",
        "remove plan.json and run `plan` with `--what-if --prediction would-succeed`.",
        "plan.json contains 3 letters. To do what the plan says: `dead-letters apply plan.json`.",
    ] {
        assert!(planned.stderr.contains(note), "{note}: {}", planned.stderr);
    }
    let refused = fixture.run(&["apply", "plan.json", "--allow-reason", "unknown"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("paid_but_expired"), "{}", refused.stderr);
    let refused = fixture.run(&["apply", "plan.json", "--allow-reason", "paid_but_expired"]).await;
    assert!(refused.stderr.contains("unknown"), "the second letter may be one, too: {}", refused.stderr);
    assert_eq!(fixture.dead_depth().await, (3, 0));
    let allowed = ["apply", "plan.json", "--allow-reason", "unknown", "--allow-reason", "paid_but_expired"];
    fixture.run(&allowed).await.succeeded();
    assert_eq!((fixture.dead_depth().await, fixture.events().await.len()), ((0, 0), 3));
}

#[tokio::test]
async fn letters_are_deleted_only_with_a_backup() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[approved("r1"), expired("r2")]).await;
    fixture.run(&["plan", "--action", "delete", "--type", "payment.approved"]).await.succeeded();
    let refused = fixture.run(&["apply", "plan.json"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--backup"), "{}", refused.stderr);
    assert_eq!(fixture.dead_depth().await, (2, 0));
    fixture.run(&["apply", "plan.json", "--backup", "deleted.jsonl"]).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (1, 0));
    let backup: Value =
        serde_json::from_str(&fs::read_to_string(fixture.path("deleted.jsonl")).unwrap()).unwrap();
    assert_eq!(backup["body"], approved("r1"));
}

#[tokio::test]
async fn a_letter_that_is_only_backed_up_stays_in_the_queue() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "backup"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "copies.jsonl"]).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (1, 0));
    assert!(fs::read_to_string(fixture.path("copies.jsonl")).unwrap().contains("r1"));
}

#[tokio::test]
async fn a_letter_whose_body_differs_from_the_plan_stays_in_the_queue() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let path = fixture.path("plan.json");
    let mut plan: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    plan["letters"][0]["body_sha256"] = json!("0".repeat(64));
    fs::write(&path, plan.to_string()).unwrap();
    assert_eq!(fixture.run(&["apply", "plan.json"]).await.code, Some(1));
    assert_eq!(fixture.dead_depth().await, (1, 0));
    assert_eq!(steps(&fixture.audit("plan.json.audit.jsonl"), &ids[0]), ["changed"]);
    // Nothing will ever be done with this plan.
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
}

#[tokio::test]
async fn a_plan_of_another_queue_is_refused() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let path = fixture.path("plan.json");
    let plan = fs::read_to_string(&path).unwrap().replace("events-", "other-");
    fs::write(&path, plan).unwrap();
    let refused = fixture.run(&["apply", "plan.json"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("other-"), "{}", refused.stderr);
}

#[tokio::test]
async fn letters_of_one_mebibyte_are_redriven_together_although_a_call_could_not_send_two() {
    let fixture = Fixture::new(false).await;
    let mut bodies = vec![expired("small"), "\u{fffd} no JSON".to_owned()];
    fixture.send_dead_letters(&bodies).await;
    for id in ["r1", "r2", "r3"] {
        let large = format!("{}{}", expired(id), " ".repeat(1024 * 1024 - expired(id).len()));
        fixture.send_dead_letters(std::slice::from_ref(&large)).await;
        bodies.push(large);
    }
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--rate", "1000"]).await.succeeded();
    let events: BTreeSet<_> = fixture.events().await.into_iter().collect();
    assert!(events == bodies.into_iter().collect());
}

#[tokio::test]
async fn apply_stops_by_itself_when_too_many_redriven_letters_are_dead_again() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..60).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let applying = fixture.run(&["apply", "plan.json", "--rate", "10", "--stop-at", "2"]);
    // The queue moves a message that was received once without a deletion: the next receive finds it dead.
    let kill = async || {
        let receive = fixture.sqs.client().receive_message().queue_url(&fixture.queue.url);
        receive.max_number_of_messages(10).visibility_timeout(0).send().await.unwrap();
    };
    let worker = async {
        loop {
            kill().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let applied = tokio::select! {
        applied = applying => applied,
        () = worker => unreachable!(),
    };
    assert_eq!(applied.code, Some(3), "{}", applied.stderr);
    let count = |step| {
        let audit = fixture.audit("plan.json.audit.jsonl");
        audit.iter().filter(|line| line["step"] == step).count()
    };
    assert!(count("came_back") > 2 && count("done") < 60, "{}", applied.stderr);
    assert_eq!(count("stopped"), 1);

    // The letters that were sent before the stop die after it. Then the cause is fixed.
    while fixture.event_depth().await != (0, 0) {
        kill().await;
    }
    let (sent, noticed) = (count("sent"), count("came_back"));
    let apply = ["apply", "plan.json", "--rate", "1000", "--stop-at", "2"];
    let mut again = fixture.run(&apply).await;
    if sent - noticed > 2 {
        assert_eq!((again.code, count("sent")), (Some(3), sent), "it stops before it acts: {}", again.stderr);
        assert_eq!(count("came_back"), sent);
        again = fixture.run(&apply).await;
    }
    again.succeeded();
    assert_eq!((count("sent"), fixture.events().await.len()), (60, 60 - sent));
}

#[tokio::test]
async fn apply_that_is_run_again_later_says_how_many_redriven_letters_are_dead_again() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..5).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    let plan = ["plan", "--action", "redrive", "--out", "redrive.json"];
    fixture.run(&plan).await.succeeded();
    let first = fixture.run(&["apply", "redrive.json"]).await.succeeded();
    let note = "note: a redriven letter can be dead again until 28 minutes after it was sent. `dead-letters list` shows \
                the letters that are dead again.\n";
    assert!(first.stderr.ends_with(note), "{}", first.stderr);
    assert!(!first.stderr.contains("earlier run"), "{}", first.stderr);
    while fixture.event_depth().await != (0, 0) {
        let receive = fixture.sqs.client().receive_message().queue_url(&fixture.queue.url);
        receive.max_number_of_messages(10).visibility_timeout(0).send().await.unwrap();
    }
    // A file with a name of its own is never replaced, so the command still applies the same plan.
    let refused = fixture.run(&plan).await;
    let error = "error: redrive.json exists already; remove it, or name another file with --out\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), error));
    let few = fixture.run(&["apply", "redrive.json", "--stop-at", "5"]).await.succeeded();
    let earlier = "note: an earlier run has completed the actions on 5 of 5 letters\n";
    assert!(few.stderr.contains(earlier), "{}", few.stderr);
    assert!(few.stderr.contains("5 dead again"), "{}", few.stderr);
    let many = fixture.run(&["apply", "redrive.json", "--stop-at", "4"]).await;
    assert_eq!(many.code, Some(3));
    let stopped = "stopped: 5 redriven letters were dead again. Fix the cause. Then make a new plan. Nothing is left to do \
                   in redrive.json.";
    assert!(many.stderr.contains(stopped), "{}", many.stderr);
    assert_eq!(fixture.dead_depth().await, (5, 0));
}

#[tokio::test]
async fn a_plan_to_delete_letters_that_say_refund_due_prints_a_note() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), expired("r2")]).await;
    fixture.log(&[(&ids[0], "paid_but_expired"), (&ids[1], "no_time")]).await;
    let planned = fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    assert!(planned.stderr.contains("note: a refund may be due"), "{}", planned.stderr);
    assert!(planned.stderr.contains("paid_but_expired") && planned.stderr.contains("after the refund"));
    let other = ["plan", "--action", "delete", "--reason", "no_time", "--out", "other.json"];
    let other = fixture.run(&other).await.succeeded();
    assert!(!other.stderr.contains("refund"), "{}", other.stderr);
}

#[tokio::test]
async fn a_plan_is_not_replaced_before_it_is_finished_and_the_error_says_what_to_do() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[expired("r1"), expired("r2")]).await;
    let plan = ["plan", "--action", "backup"];
    fixture.run(&plan).await.succeeded();
    let planned = fs::read(fixture.path("plan.json")).unwrap();
    let is_refused = async || {
        let refused = fixture.run(&plan).await;
        let error = "error: plan.json exists already, and plan.json.audit.jsonl does not say that it is a finished plan; \
                     apply it, remove it, or name another file with --out\n";
        assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), error));
        assert_eq!(fs::read(fixture.path("plan.json")).unwrap(), planned);
    };
    is_refused().await;
    fixture.run(&["apply", "plan.json", "--backup", "copies.jsonl"]).await.succeeded();
    // As after an interruption: the last step of one letter is missing.
    let path = fixture.path("plan.json.audit.jsonl");
    let audit = fs::read_to_string(&path).unwrap();
    let is_last_step = |line: &&str| line.contains(&ids[0]) && line.contains(r#""step":"done""#);
    let rest: Vec<_> = audit.lines().filter(|line| !is_last_step(line)).collect();
    fs::write(&path, rest.join("\n")).unwrap();
    is_refused().await;
    // Another file with the same name.
    fs::write(&path, &audit).unwrap();
    fs::write(fixture.path("plan.json"), "{}").unwrap();
    assert_eq!(fixture.run(&plan).await.code, Some(1));
    fs::write(fixture.path("plan.json"), &planned).unwrap();
    // Another command is replacing the plan at the same time.
    fs::write(fixture.path("plan.json.new"), "").unwrap();
    let refused = fixture.run(&plan).await;
    let error = "error: plan.json.new exists already; remove it, or name another file with --out\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), error));
    assert_eq!(fs::read(fixture.path("plan.json")).unwrap(), planned);
    fs::remove_file(fixture.path("plan.json.new")).unwrap();
    let replaced = fixture.run(&plan).await.succeeded();
    let note = "note: nothing is left to do in the earlier plan.json, so this plan replaces it.\n";
    assert!(replaced.stderr.contains(note), "{}", replaced.stderr);
    assert!(!fixture.path("plan.json.new").exists());
}

/// For example of an earlier `make local`.
#[tokio::test]
async fn a_plan_for_another_queue_blocks_a_new_plan_and_the_error_does_not_advise_to_apply_it() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    let plan = ["plan", "--action", "backup"];
    fixture.run(&plan).await.succeeded();
    let path = fixture.path("plan.json");
    let url = &fixture.queue.dlq_url;
    let other = format!("{url}-other");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace(url, &other)).unwrap();
    let refused = fixture.run(&plan).await;
    let error = format!(
        "error: plan.json exists already, and is a plan for another queue, {other}; remove it, or name another file \
         with --out\n"
    );
    assert_eq!((refused.code, refused.stderr), (Some(1), error));
}

/// The advice for each reason names the same files.
#[tokio::test]
async fn the_advice_for_several_letters_is_followed_with_the_same_files() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), expired("r2"), approved("r3")]).await;
    let reasons = [Reason::PaidButExpired, Reason::InventoryError, Reason::PaidButCancelled];
    let lines = ids.iter().zip(&reasons).map(|(id, reason)| (id.as_str(), reason.as_str()));
    fixture.log(&lines.collect::<Vec<_>>()).await;
    for (id, reason) in ids.iter().zip(reasons) {
        let advice = reason.advice().replace(" ID`", &format!(" {id}`"));
        let commands = advice.split('`').filter_map(|part| part.strip_prefix("dead-letters "));
        for command in commands {
            fixture.run(&command.split(' ').collect::<Vec<_>>()).await.succeeded();
        }
    }
    assert_eq!((fixture.events().await, fixture.dead_depth().await), (vec![expired("r2")], (0, 0)));
    let backup = fs::read_to_string(fixture.path("deleted.jsonl")).unwrap();
    assert!(backup.contains(&ids[0]) && backup.contains(&ids[2]), "{backup}");
    let audit = fixture.audit("plan.json.audit.jsonl");
    let last = |id: &String| steps(&audit, id).pop();
    assert_eq!(ids.iter().map(last).collect::<Vec<_>>(), vec![Some("done".to_owned()); 3]);
}

#[tokio::test]
async fn a_plan_that_was_edited_by_hand_is_applied_as_edited_or_refused() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[expired("r1"), expired("r2")]).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let path = fixture.path("plan.json");
    let original: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let edit = |change: fn(&mut Value)| {
        let mut plan = original.clone();
        change(&mut plan);
        fs::write(&path, plan.to_string()).unwrap();
    };
    edit(|plan| plan["letters"][1] = plan["letters"][0].clone());
    let twice = fixture.run(&["apply", "plan.json"]).await;
    assert!(twice.code == Some(1) && twice.stderr.contains("twice"), "{}", twice.stderr);
    edit(|plan| plan["letters"][0]["acton"] = json!("delete"));
    let unknown = fixture.run(&["apply", "plan.json"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("acton"), "{}", unknown.stderr);
    assert_eq!(fixture.dead_depth().await, (2, 0));
    edit(|plan| drop(plan["letters"].as_array_mut().unwrap().pop()));
    fixture.run(&["apply", "plan.json"]).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (1, 0));
    let removed = &original["letters"][1]["message_id"];
    assert!(ids.iter().any(|id| removed == id.as_str()));
    assert!(fixture.audit("plan.json.audit.jsonl").iter().all(|line| line["message_id"] != *removed));
}

#[tokio::test]
async fn arguments_that_name_the_same_file_or_the_same_queue_are_refused() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    let plan = fs::read(fixture.path("plan.json")).unwrap();
    std::os::unix::fs::symlink("plan.json", fixture.path("link")).unwrap();
    let backup = ["apply", "plan.json", "--backup"];
    for (arguments, name) in [
        ([&backup[..], &["./plan.json"]].concat(), "plan.json"),
        ([&backup[..], &["link"]].concat(), "link"),
        ([&backup[..], &["new", "--audit", "new"]].concat(), "new"),
        ([&backup[..], &["backup.jsonl", "--audit", "plan.json"]].concat(), "plan.json"),
        (vec!["restore", "plan.json", "--audit", "plan.json"], "no letter"),
    ] {
        let refused = fixture.run(&arguments).await;
        assert!(refused.code == Some(1) && refused.stderr.contains(name), "{arguments:?} {}", refused.stderr);
    }
    assert_eq!(fs::read(fixture.path("plan.json")).unwrap(), plan);
    fixture.run(&["plan", "--action", "redrive", "--out", "redrive.json"]).await.succeeded();
    let circle = fixture.command_to(&fixture.queue.dlq_url, &["apply", "redrive.json"]);
    let circle = Fixture::output(circle).await;
    assert!(circle.code == Some(1) && circle.stderr.contains("the same queue"), "{}", circle.stderr);
    assert_eq!(fixture.dead_depth().await, (1, 0));
}

#[tokio::test]
async fn letters_are_sent_only_to_the_queue_whose_dead_letter_queue_contains_them() {
    let fixture = Fixture::new(false).await;
    let other = fixture.another_queue(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    fixture.run(&["export", "--out", "exported.jsonl"]).await.succeeded();
    for arguments in [["apply", "plan.json"], ["restore", "exported.jsonl"]] {
        // The second one has no dead-letter queue.
        for (event_queue, why) in [
            (&other.url, "is not the dead-letter queue of"),
            (&other.dlq_url, "is not the dead-letter queue of"),
        ] {
            let refused = Fixture::output(fixture.command_to(event_queue, &arguments)).await;
            assert!(
                refused.code == Some(1) && refused.stderr.contains(why),
                "{arguments:?}: {}",
                refused.stderr
            );
        }
    }
    assert_eq!((fixture.dead_depth().await, other.depth().await.unwrap()), ((1, 0), (0, 0)));
}

#[tokio::test]
async fn a_queue_that_has_a_dead_letter_queue_of_its_own_is_not_read() {
    let fixture = Fixture::new(false).await;
    let sent = fixture.queue.send([("r1".to_owned(), expired("r1"))]).await.unwrap();
    assert_eq!(sent.len(), 1);
    let swapped = |arguments: &[&str]| {
        let command = fixture.command(arguments);
        let mut swapped = std::process::Command::new(command.get_program());
        swapped.current_dir(fixture.directory.path()).env_clear().envs(fixture.environment()).args(arguments);
        swapped.args(["--queue-url", &fixture.queue.url, "--event-queue-url", &fixture.queue.dlq_url]);
        swapped
    };
    for arguments in [&["list"][..], &["undelivered", "list"], &["plan", "--action", "delete"]] {
        let refused = Fixture::output(swapped(arguments)).await;
        let is_refused = refused.code == Some(1) && refused.stderr.contains("has a dead-letter queue");
        assert!(is_refused, "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!((fixture.event_depth().await, fixture.dead_depth().await), ((1, 0), (0, 0)));
}

#[tokio::test]
async fn closing_the_terminal_makes_the_letters_visible_again() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1"), expired("r2")]).await;
    let plan = ["plan", "--action", "backup"];
    fixture.run(&plan).await.succeeded();
    for arguments in [&["list"][..], &["apply", "plan.json", "--backup", "backup.jsonl"]] {
        let mut command = fixture.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert_eq!((status.code(), fixture.dead_depth().await), (Some(0), (2, 0)), "{arguments:?}");
    }
}

#[tokio::test]
async fn two_people_can_apply_at_once_and_each_letter_is_sent_once() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..120).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    fixture.run(&["plan", "--action", "redrive", "--out", "a.json"]).await.succeeded();
    fs::copy(fixture.path("a.json"), fixture.path("b.json")).unwrap();
    let (a, b) = tokio::join!(
        fixture.run(&["apply", "a.json", "--rate", "60", "--visibility-timeout", "6s"]),
        fixture.run(&["apply", "b.json", "--rate", "60", "--visibility-timeout", "6s"])
    );
    // Each says how many letters it did not find, because the other one has sent them.
    let number = |text: &str, of: &str| {
        let before = text.split(of).next().unwrap();
        before.rsplit([' ', '\n']).next().unwrap().parse::<usize>().unwrap()
    };
    let [of_a, of_b] = [&a, &b].map(|ran| {
        let gone = number(&ran.stderr, " not in the queue any more");
        assert_eq!(ran.code, Some(i32::from(gone > 0)), "{}", ran.stderr);
        let redriven =
            number(&ran.stderr.replace("letter redriven", "letters redriven"), " letters redriven");
        assert_eq!(redriven + gone, 120, "{}", ran.stderr);
        redriven
    });
    assert_eq!(of_a + of_b, 120);
    let mut events = fixture.events().await;
    events.sort();
    let mut expected = bodies;
    expected.sort();
    assert_eq!(events, expected);
    assert_eq!(fixture.dead_depth().await, (0, 0));
}

#[tokio::test]
async fn two_people_can_apply_one_plan_with_one_audit_file() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..60).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let apply = ["apply", "plan.json", "--rate", "60", "--visibility-timeout", "6s"];
    let (a, b) = tokio::join!(fixture.run(&apply), fixture.run(&apply));
    assert_eq!((a.code, b.code), (Some(0), Some(0)), "{} {}", a.stderr, b.stderr);
    let events: BTreeSet<_> = fixture.events().await.into_iter().collect();
    assert_eq!((events, fixture.dead_depth().await), (bodies.into_iter().collect(), (0, 0)));
}

#[tokio::test]
async fn a_letter_that_two_people_redrive_and_delete_at_once_is_either_sent_or_deleted() {
    let fixture = Fixture::new(false).await;
    let bodies: Vec<_> = (0..60).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&bodies).await;
    for action in ["redrive", "delete"] {
        let plan = format!("{action}.json");
        fixture.run(&["plan", "--action", action, "--out", &plan]).await.succeeded();
    }
    let rest = ["--rate", "30", "--visibility-timeout", "6s"];
    let (redrive, delete) = (["apply", "redrive.json"], ["apply", "delete.json", "--backup", "backup.jsonl"]);
    let (redrive, delete) = ([&redrive[..], &rest].concat(), [&delete[..], &rest].concat());
    tokio::join!(fixture.run(&redrive), fixture.run(&delete));
    let backup = fs::read_to_string(fixture.path("backup.jsonl")).unwrap();
    let deleted = backup.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let deleted = deleted.map(|letter| letter["body"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = fixture.events().await.into_iter().chain(deleted).collect();
    all.sort();
    let mut expected = bodies;
    expected.sort();
    assert_eq!((all, fixture.dead_depth().await), (expected, (0, 0)));
}
