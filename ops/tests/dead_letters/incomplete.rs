//! A queue that does not return all of its letters.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::fixture::{Fixture, expired};
use crate::proxy::Proxy;

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

/// SQS, whose receives with these numbers return nothing.
async fn returns_nothing(
    fixture: &Fixture,
    is_empty: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> Proxy {
    let receives = AtomicUsize::new(0);
    Proxy::replying(fixture.sqs.endpoint(), move |target, _| {
        let is_receive = target.ends_with("ReceiveMessage");
        (is_receive && is_empty(receives.fetch_add(1, Relaxed))).then(|| (200, "{}".to_owned()))
    })
    .await
}

#[tokio::test]
async fn the_letters_that_sqs_does_not_return_are_counted_in_a_note() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(100)).await;
    let proxy = returns_nothing(&fixture, |number| number >= 4).await;
    for arguments in [&["list", "--output", "json"][..], &["plan", "--action", "redrive"]] {
        let proxied = [arguments, &["--endpoint-url", &proxy.endpoint]].concat();
        let ran = fixture.run(&proxied).await.succeeded();
        let unread = if arguments[0] == "list" { 100 - ran.rows().len() } else { 100 };
        let note = format!("note: about {unread} letters cannot be shown");
        assert!(unread >= 60 && ran.stderr.contains(&note), "{unread} unread: {}", ran.stderr);
    }
    assert_eq!(fixture.dead_depth().await, (100, 0));
}

#[tokio::test]
async fn receives_that_return_nothing_do_not_end_the_list_while_the_queue_has_letters() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(100)).await;
    let proxy = returns_nothing(&fixture, |number| (4..12).contains(&number)).await;
    let listed =
        fixture.run(&["list", "--output", "json", "--endpoint-url", &proxy.endpoint]).await.succeeded();
    assert_eq!(listed.rows().len(), 100);
    assert!(!listed.stderr.contains("cannot be shown"), "{}", listed.stderr);
}

#[tokio::test]
async fn letters_that_another_reader_has_hidden_are_counted_in_a_note() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(15)).await;
    let receive = fixture.sqs.client().receive_message().queue_url(&fixture.queue.dlq_url);
    let held = receive.max_number_of_messages(10).send().await.unwrap().messages().len();
    let listed = fixture.run(&["list", "--output", "json"]).await.succeeded();
    assert_eq!(listed.rows().len(), 15 - held);
    assert!(listed.stderr.contains(&format!("hides about {held} letters now.")), "{}", listed.stderr);
}
