//! `restore`, `export` and `undelivered`.

use std::fs;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::Value;

use reservation_worker_local::Status;
use reservation_worker_local::event_source::Queue;

use crate::fixture::{Fixture, approved, expired, numbered, text};
use crate::proxy::{Act, Proxy};

#[tokio::test]
async fn deleted_letters_are_sent_again_once() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[approved("r1"), expired("r2")]).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "backup.jsonl"]).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0));
    let refused = fixture.run(&["restore", "backup.jsonl"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--allow-reason unknown"), "{}", refused.stderr);
    assert_eq!(fixture.events().await.len(), 0);
    let restore = ["restore", "backup.jsonl", "--allow-reason", "unknown"];
    fixture.run(&restore).await.succeeded();
    let again = fixture.run(&restore).await.succeeded();
    assert!(again.stderr.contains("2 letters will not be sent again"), "{}", again.stderr);
    let mut events = fixture.events().await;
    events.sort();
    let mut expected = [approved("r1"), expired("r2")];
    expected.sort();
    assert_eq!(events, expected);
    let done = fixture.audit("backup.jsonl.audit.jsonl").into_iter().filter(|line| line["step"] == "done");
    assert_eq!(done.count(), 2);
}

#[tokio::test]
async fn a_letter_that_said_refund_due_is_restored_only_with_a_flag_that_names_the_reason() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[approved("r1"), approved("r2")]).await;
    fixture.log(&[(&ids[0], "paid_but_expired"), (&ids[1], "inventory_unavailable")]).await;
    fixture.run(&["export", "--out", "exported.jsonl"]).await.succeeded();
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "deleted.jsonl"]).await.succeeded();
    for file in ["exported.jsonl", "deleted.jsonl"] {
        let refused = fixture.run(&["restore", file, "--allow-reason", "unknown"]).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("--allow-reason paid_but_expired"), "{}", refused.stderr);
    }
    fixture.run(&["restore", "deleted.jsonl", "--message", &ids[1]]).await.succeeded();
    assert_eq!(fixture.events().await, [approved("r2")]);
    fixture.run(&["restore", "deleted.jsonl", "--allow-reason", "paid_but_expired"]).await.succeeded();
    assert_eq!(fixture.events().await, [approved("r1")]);
}

#[tokio::test]
async fn a_letter_that_is_in_a_backup_twice_still_says_that_a_refund_is_due() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[approved("r1")]).await;
    fixture.run(&["export", "--out", "exported.jsonl"]).await.succeeded();
    let exported: Value =
        serde_json::from_str(&fs::read_to_string(fixture.path("exported.jsonl")).unwrap()).unwrap();
    let line = |reason: &str| {
        let mut line = exported.clone();
        line["reason_code"] = reason.into();
        format!("{line}\n")
    };
    for (reasons, expected) in [
        (["inventory_unavailable", "paid_but_expired"], Some("paid_but_expired")),
        (["paid_but_expired", "inventory_unavailable"], Some("paid_but_expired")),
        (["inventory_unavailable", "unknown"], Some("unknown")),
        (["unknown", "inventory_unavailable"], None),
    ] {
        fs::write(fixture.path("twice.jsonl"), reasons.map(line).concat()).unwrap();
        let restored = fixture.run(&["restore", "twice.jsonl"]).await;
        assert_eq!(restored.code, Some(i32::from(expected.is_some())), "{reasons:?}: {}", restored.stderr);
        let named =
            expected.is_none_or(|reason| restored.stderr.contains(&format!("--allow-reason {reason}")));
        assert!(named, "{reasons:?}: {}", restored.stderr);
        assert_eq!(fixture.events().await.len(), usize::from(expected.is_none()));
    }
}

#[tokio::test]
async fn a_shared_audit_file_does_not_hide_deleted_letters_from_restore() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    let audit = ["--audit", "audit.jsonl"];
    fixture
        .run(&[&["apply", "plan.json", "--backup", "backup.jsonl"], &audit[..]].concat())
        .await
        .succeeded();
    fixture.run(&[&["restore", "backup.jsonl"], &audit[..]].concat()).await.succeeded();
    assert_eq!(fixture.events().await, [expired("r1")]);
    fixture.run(&[&["restore", "backup.jsonl"], &audit[..]].concat()).await.succeeded();
    assert_eq!(fixture.events().await.len(), 0, "it was sent before");
}

#[tokio::test]
async fn a_wrong_message_id_and_a_file_without_letters_are_errors() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.run(&["export", "--out", "exported.jsonl"]).await.succeeded();
    let wrong = fixture.run(&["restore", "exported.jsonl", "--message", "0e6f2ad1"]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("0e6f2ad1"), "{}", wrong.stderr);
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let wrong = fixture.run(&["restore", "plan.json"]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("no letter"), "{}", wrong.stderr);
    assert_eq!(fixture.events().await.len(), 0);
}

#[tokio::test]
async fn a_binary_attribute_survives_a_deletion_and_its_restoration() {
    let fixture = Fixture::new(false).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let binary = MessageAttributeValue::builder().data_type("Binary.key").binary_value(Blob::new(bytes));
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(expired("r1"));
    let number = MessageAttributeValue::builder().data_type("Number").string_value("7").build().unwrap();
    let send = send.message_attributes("key", binary.build().unwrap()).message_attributes("count", number);
    send.send().await.unwrap();
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "backup.jsonl"]).await.succeeded();
    fixture.run(&["restore", "backup.jsonl"]).await.succeeded();
    let [event] = &fixture.event_messages().await[..] else { panic!("one event") };
    let attributes = event.message_attributes.as_ref().unwrap();
    assert_eq!(attributes["key"].data_type(), "Binary.key");
    assert_eq!(attributes["key"].binary_value().unwrap().as_ref(), (0..=255).collect::<Vec<u8>>());
    assert_eq!((attributes["count"].data_type(), attributes["count"].string_value()), ("Number", Some("7")));
}

#[tokio::test]
async fn a_letter_is_exported_as_the_event_that_lambda_sends() {
    let fixture = Fixture::new(true).await;
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(approved("r1"));
    let send =
        send.message_group_id("r1").message_deduplication_id("1").message_attributes("tenant", text("a"));
    let sent = send.send().await.unwrap();
    let id = sent.message_id().unwrap();
    let arguments = ["export", "--message", id, "--as-lambda-event", "--out", "event.json"];
    fixture.run(&arguments).await.succeeded();
    let event: Value =
        serde_json::from_str(&fs::read_to_string(fixture.path("event.json")).unwrap()).unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["body"], approved("r1"));
    assert_eq!(record["eventSourceARN"], fixture.queue.arn);
    assert_eq!(record["attributes"]["MessageGroupId"], "r1");
    assert_eq!(record["messageAttributes"]["tenant"]["stringValue"], "a");
    let parsed: aws_lambda_events::sqs::SqsEvent = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(parsed.records.len(), 1);
    assert_eq!(fixture.dead_depth().await, (1, 0));
}

#[tokio::test]
async fn attributes_of_a_producer_with_the_names_of_a_failed_delivery_are_kept() {
    let fixture = Fixture::new(false).await;
    let dead = async || {
        let send = fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url);
        let send = send.message_attributes("ERROR_CODE", text("CARD_DECLINED"));
        send.message_body(expired("r1")).send().await.unwrap();
    };
    for (source, kept) in [(&[][..], true), (&["undelivered"], false)] {
        dead().await;
        fixture.run(&[source, &["plan", "--action", "redrive"]].concat()).await.succeeded();
        fixture.run(&[source, &["apply", "plan.json"]].concat()).await.succeeded();
        dead().await;
        fixture
            .run(&[source, &["plan", "--action", "delete", "--out", "delete.json"]].concat())
            .await
            .succeeded();
        let delete = ["apply", "delete.json", "--backup", "backup.jsonl"];
        fixture.run(&[source, &delete].concat()).await.succeeded();
        fixture.run(&["restore", "backup.jsonl"]).await.succeeded();
        let events = fixture.event_messages().await;
        assert_eq!(events.len(), 2);
        let has = events.iter().map(|event| {
            event.message_attributes.as_ref().is_some_and(|attributes| attributes.contains_key("ERROR_CODE"))
        });
        assert!(has.into_iter().all(|has| has == kept), "{source:?}: {events:?}");
        for file in ["plan.json", "delete.json", "backup.jsonl"] {
            fs::remove_file(fixture.path(file)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_in_a_missing_folder_is_an_error_before_the_queue_is_read() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&[expired("r1")]).await;
    for arguments in [&["plan", "--action", "redrive"][..], &["export"]] {
        let refused = fixture.run(&[arguments, &["--out", "missing/file"]].concat()).await;
        let is_refused = refused.code == Some(1) && refused.stderr.contains("missing/file");
        assert!(is_refused, "{arguments:?}: {}", refused.stderr);
    }
    let [letter] = &fixture.messages(&fixture.dead_letter_queue()).await[..] else { panic!("{ids:?}") };
    let receives = letter.attributes.as_ref().unwrap().iter();
    let receives: Vec<_> = receives.filter(|(name, _)| name.as_str() == "ApproximateReceiveCount").collect();
    assert_eq!(receives[0].1, "1", "nobody else has received it");
}

#[tokio::test]
async fn a_backup_that_others_could_read_is_readable_by_its_owner_only_before_a_body_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    let backup = fixture.path("backup.jsonl");
    fs::write(&backup, "").unwrap();
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o644)).unwrap();
    fixture.run(&["plan", "--action", "backup"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "backup.jsonl"]).await.succeeded();
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_error_code_of_eventbridge_is_not_taken_for_a_reason_code_of_the_worker() {
    let fixture = Fixture::new(false).await;
    let send = fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url);
    let send = send.message_body(approved("r1")).message_attributes("ERROR_CODE", text("no_time"));
    send.send().await.unwrap();
    fixture.run(&["undelivered", "plan", "--action", "redrive"]).await.succeeded();
    let refused = fixture.run(&["undelivered", "apply", "plan.json"]).await;
    assert!(
        refused.code == Some(1) && refused.stderr.contains("--allow-reason unknown"),
        "{}",
        refused.stderr
    );
    assert_eq!(fixture.dead_depth().await, (1, 0));
}

#[tokio::test]
async fn undelivered_events_are_explained_and_sent_without_the_attributes_of_their_failure() {
    let fixture = Fixture::new(false).await;
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(expired("r1"));
    let send = send
        .message_attributes("ERROR_CODE", text("NO_PERMISSIONS"))
        .message_attributes("ERROR_MESSAGE", text("not allowed"))
        .message_attributes("RULE_ARN", text("arn:aws:events:ap-northeast-2:123456789012:rule/r"));
    send.send().await.unwrap();
    let rows = fixture.run(&["undelivered", "list", "--output", "json"]).await.succeeded().rows();
    assert_eq!([&rows[0]["reason_code"], &rows[0]["reason"]], ["NO_PERMISSIONS", "not allowed"]);
    assert!(rows[0]["advice"].as_str().unwrap().contains("rule/r"), "{rows:?}");
    fixture.run(&["undelivered", "plan", "--action", "redrive"]).await.succeeded();
    fixture.run(&["undelivered", "apply", "plan.json"]).await.succeeded();
    let [event] = &fixture.event_messages().await[..] else { panic!("one event") };
    assert_eq!(event.body.as_deref(), Some(expired("r1").as_str()));
    assert!(event.message_attributes.as_ref().is_none_or(|attributes| attributes.is_empty()), "{event:?}");
    assert_eq!(fixture.dead_depth().await, (0, 0));
}

#[tokio::test]
async fn an_undelivered_payment_is_redriven_only_after_a_clear_prediction_or_with_a_flag() {
    let fixture = Fixture::new(false).await;
    for id in ["r1", "r2"] {
        fixture.hold(id);
        let send = fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url);
        let send = send.message_body(approved(id)).message_attributes("ERROR_CODE", text("NO_PERMISSIONS"));
        send.send().await.unwrap();
    }
    fixture.services.set_reservation_status("r2", Status::Expired);
    fixture.run(&["undelivered", "plan", "--action", "redrive", "--out", "blind.json"]).await.succeeded();
    let refused = fixture.run(&["undelivered", "apply", "blind.json"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--allow-reason NO_PERMISSIONS"), "{}", refused.stderr);
    fixture.run(&["undelivered", "plan", "--action", "redrive", "--what-if"]).await.succeeded();
    let refused = fixture.run(&["undelivered", "apply", "plan.json"]).await;
    assert!(refused.stderr.contains("--allow-reason paid_but_expired"), "{}", refused.stderr);
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (0, (2, 0)));
    let allow = ["undelivered", "apply", "plan.json", "--allow-reason", "paid_but_expired"];
    fixture.run(&allow).await.succeeded();
    assert_eq!(fixture.events().await.len(), 2);
}

/// A proxy that returns the letters of a receive in the reverse order, and refuses to send one of them.
async fn adverse(fixture: &Fixture, refused: String) -> Proxy {
    let decide = move |name: &str, call: &Value| match name {
        "ReceiveMessage" => Act::Edit(|reply| {
            if let Some(messages) = reply["Messages"].as_array_mut() {
                messages.reverse();
            }
        }),
        "SendMessage" if call["MessageBody"] == refused.as_str() => Act::Refuse("InvalidMessageContents"),
        _ => Act::Forward,
    };
    Proxy::start(fixture.sqs.endpoint(), decide).await
}

/// Letters of a standard queue about two reservations, and their order in the FIFO queue of the worker.
async fn for_a_fifo_queue(fixture: &Fixture) -> (Queue, Vec<String>) {
    let queue = fixture.another_queue(true).await;
    let bodies: Vec<_> = (0..20).map(|number| numbered(&format!("r{}", number % 2), number)).collect();
    for body in &bodies {
        fixture.send_dead_letters(std::slice::from_ref(body)).await;
    }
    (queue, bodies)
}

/// The bodies about each reservation, in their order.
fn by_reservation(bodies: &[String]) -> [Vec<&String>; 2] {
    ["\"r0\"", "\"r1\""].map(|id| bodies.iter().filter(|body| body.contains(id)).collect())
}

async fn sent(fixture: &Fixture, queue: &Queue) -> Vec<String> {
    fixture.messages(queue).await.into_iter().map(|message| message.body.unwrap()).collect()
}

#[tokio::test]
async fn undelivered_events_reach_a_fifo_queue_in_the_order_in_which_they_were_sent() {
    let fixture = Fixture::new(false).await;
    let (queue, bodies) = for_a_fifo_queue(&fixture).await;
    fixture.run(&["undelivered", "plan", "--action", "redrive"]).await.succeeded();
    let proxy = adverse(&fixture, bodies[6].clone()).await;
    let apply = ["undelivered", "apply", "plan.json", "--rate", "1000", "--visibility-timeout", "5s"];
    let applied = Fixture::output(proxy.before(fixture.command_to(&queue.url, &apply))).await;
    assert_eq!(applied.code, Some(1), "{}", applied.stderr);
    let mut events = sent(&fixture, &queue).await;
    assert_eq!(by_reservation(&events)[0].len(), 3, "the letters after a failed one wait: {events:?}");
    Fixture::output(fixture.command_to(&queue.url, &apply)).await.succeeded();
    events.extend(sent(&fixture, &queue).await);
    assert_eq!(by_reservation(&events), by_reservation(&bodies));
}

#[tokio::test]
async fn restored_letters_reach_a_fifo_queue_in_the_order_in_which_they_were_sent() {
    let fixture = Fixture::new(false).await;
    let (queue, bodies) = for_a_fifo_queue(&fixture).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    let proxy = adverse(&fixture, bodies[6].clone()).await;
    let apply = ["apply", "plan.json", "--backup", "backup.jsonl", "--rate", "1000"];
    Fixture::output(proxy.before(fixture.command(&apply))).await.succeeded();
    let restore = ["restore", "backup.jsonl", "--rate", "1000"];
    let restored = Fixture::output(proxy.before(fixture.command_of(&queue, &restore))).await;
    assert_eq!(restored.code, Some(1), "{}", restored.stderr);
    let mut events = sent(&fixture, &queue).await;
    assert_eq!(by_reservation(&events)[0].len(), 3, "the letters after a failed one wait: {events:?}");
    Fixture::output(fixture.command_of(&queue, &restore)).await.succeeded();
    events.extend(sent(&fixture, &queue).await);
    assert_eq!(by_reservation(&events), by_reservation(&bodies));
}
