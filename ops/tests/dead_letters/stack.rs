//! `--stack`: the queues, the log group, the addresses of the services and the secret come from the stack of the
//! worker.

use std::process::Command;

use reservation_worker_local::Status;
use serde_json::json;

use crate::fixture::{Fixture, Ran, approved, expired};
use crate::proxy::Proxy;

const SECRET: &str = "reservation-worker";
const TOKEN: &str = "the-token";

/// The reply to `DescribeStacks`.
fn stack(parameters: &[(&str, &str)], outputs: &[(&str, &str)]) -> String {
    let members = |kind: &str, pairs: &[(&str, &str)]| {
        let member = |(key, value): &(&str, &str)| {
            format!("<member><{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
        };
        format!("<{kind}s>{}</{kind}s>", pairs.iter().map(member).collect::<String>())
    };
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>worker</StackName><StackStatus>CREATE_COMPLETE</StackStatus>\
         <CreationTime>2026-11-26T00:00:00Z</CreationTime>{}{}</member></Stacks></DescribeStacksResult>\
         </DescribeStacksResponse>",
        members("Parameter", parameters),
        members("Output", outputs)
    )
}

/// Runs a command that knows only the stack, and the variables in `more`.
async fn run(
    fixture: &Fixture,
    parameters: &[(&str, &str)],
    arguments: &[&str],
    more: &[(&str, &str)],
) -> Ran {
    run_with_unmatched_queue(fixture, "none", parameters, arguments, more).await
}

/// The same, where the stack has a queue of events that no rule matched.
async fn run_with_unmatched_queue(
    fixture: &Fixture,
    unmatched_url: &str,
    parameters: &[(&str, &str)],
    arguments: &[&str],
    more: &[(&str, &str)],
) -> Ran {
    let (url, dlq_url) = (&fixture.queue.url, &fixture.queue.dlq_url);
    let outputs = [
        ("EventQueueUrl", url.as_str()),
        ("DeadLetterQueueUrl", dlq_url),
        ("UnmatchedQueueUrl", unmatched_url),
        ("LogGroup", &fixture.log_group),
    ];
    let reply = stack(parameters, &outputs);
    let describe =
        move |_: &str, body: &str| body.contains("Action=DescribeStacks").then(|| (200, reply.clone()));
    let proxy = Proxy::replying(fixture.sqs.endpoint(), describe).await;
    let mut environment = fixture.environment();
    environment.retain(|name, _| name.starts_with("AWS_") || name == "HOME");
    environment.insert("AWS_ENDPOINT_URL".to_owned(), proxy.endpoint.clone());
    environment.insert("STACK".to_owned(), "worker".to_owned());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dead-letters"));
    command.current_dir(fixture.directory.path()).env_clear().envs(environment).args(arguments);
    command.envs(more.iter().copied());
    Fixture::output(command).await
}

#[tokio::test]
async fn the_services_are_read_at_the_addresses_and_with_the_token_of_the_worker() {
    let fixture = Fixture::new(false).await;
    fixture.hold("r1");
    let ids = fixture.send_dead_letters(&[expired("r1")]).await;
    fixture.log(&[(&ids[0], "inventory_unavailable")]).await;
    fixture.services.require_token(TOKEN);
    let (base, inventory) = (fixture.services.reservation_api_base(), fixture.services.inventory_addr());
    let secrets = aws_sdk_secretsmanager::Client::new(&fixture.aws);
    let secret = json!({ "reservation_api_token": TOKEN, "reservation_api_base": base }).to_string();
    secrets.create_secret().name(SECRET).secret_string(secret).send().await.unwrap();
    let list = ["list", "--what-if", "--output", "json"];

    let parameters =
        [("InventoryGrpcAddr", inventory.as_str()), ("ReservationApiBase", ""), ("SecretArn", SECRET)];
    let row = &run(&fixture, &parameters, &list, &[]).await.succeeded().rows()[0];
    assert_eq!([&row["what_if"], &row["reason_code"]], ["would succeed", "inventory_unavailable"], "{row}");

    // Without the secret, the variables of the caller are used.
    let parameters =
        [("InventoryGrpcAddr", "nowhere:1"), ("ReservationApiBase", base.as_str()), ("SecretArn", "")];
    let variables = [("INVENTORY_GRPC_ADDR", inventory.as_str()), ("RESERVATION_API_TOKEN", TOKEN)];
    let row = &run(&fixture, &parameters, &list, &variables).await.succeeded().rows()[0];
    assert_eq!(row["what_if"], "would succeed", "{row}");

    // A token that the service refuses does not say what the worker would do.
    let variables = [("INVENTORY_GRPC_ADDR", inventory.as_str()), ("RESERVATION_API_TOKEN", "another-token")];
    let ran = run(&fixture, &parameters, &list, &variables).await.succeeded();
    assert_eq!(ran.rows()[0]["what_if"], "cannot tell", "{}", ran.stdout);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("another-token"));
}

/// Runs a command of `undelivered` on a queue.
async fn undelivered(fixture: &Fixture, unmatched_url: &str, queue_url: &str, arguments: &[&str]) -> Ran {
    let (base, inventory) = (fixture.services.reservation_api_base(), fixture.services.inventory_addr());
    let parameters =
        [("InventoryGrpcAddr", inventory.as_str()), ("ReservationApiBase", base.as_str()), ("SecretArn", "")];
    let arguments = [&["undelivered"][..], arguments, &["--queue-url", queue_url]].concat();
    let token = [("RESERVATION_API_TOKEN", TOKEN)];
    run_with_unmatched_queue(fixture, unmatched_url, &parameters, &arguments, &token).await
}

#[tokio::test]
async fn an_event_that_no_rule_matched_was_not_refused_by_a_service_before() {
    let fixture = Fixture::new(false).await;
    ["r1", "r2", "r3"].iter().for_each(|id| fixture.hold(id));
    fixture.services.set_reservation_status("r3", Status::Expired);
    // These two queues have no dead-letter queue of their own.
    let unmatched = fixture.another_queue(false).await.dlq_url;
    let other = fixture.another_queue(false).await.dlq_url;
    for url in [&unmatched, &other] {
        for body in [approved("r1"), expired("r2"), approved("r3")] {
            fixture.sqs.client().send_message().queue_url(url).message_body(body).send().await.unwrap();
        }
    }
    for (url, reason, prediction) in
        [(&unmatched, "unmatched", "would succeed"), (&other, "unknown", "cannot tell")]
    {
        let list = ["list", "--what-if", "--output", "json"];
        let rows = undelivered(&fixture, &unmatched, url, &list).await.succeeded().rows();
        assert_eq!(rows.len(), 3);
        for row in rows {
            let prediction = if row["reservation_id"] == "r3" { "refund due" } else { prediction };
            assert_eq!([&row["reason_code"], &row["what_if"]], [reason, prediction], "{row}");
        }
    }

    let blind = ["plan", "--action", "redrive", "--out", "blind.json"];
    undelivered(&fixture, &unmatched, &unmatched, &blind).await.succeeded();
    let refused = undelivered(&fixture, &unmatched, &unmatched, &["apply", "blind.json"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow-reason unmatched"), "{}", refused.stderr);
    let plan = ["plan", "--action", "redrive", "--what-if", "--prediction", "would-succeed"];
    undelivered(&fixture, &unmatched, &unmatched, &plan).await.succeeded();
    undelivered(&fixture, &unmatched, &unmatched, &["apply", "plan.json"]).await.succeeded();
    let mut events = fixture.events().await;
    events.sort();
    assert_eq!(events, [approved("r1"), expired("r2")]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_an_error_before_the_queue_is_read() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    let parameters = [("SecretArn", "missing")];
    let ran = run(&fixture, &parameters, &["list", "--what-if"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("secret missing: cannot be read"), "{}", ran.stderr);
}

#[tokio::test]
async fn without_access_to_the_stack_the_variables_are_enough() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[expired("r1")]).await;
    let denied = |_: &str, body: &str| {
        let reply =
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>";
        body.contains("Action=DescribeStacks").then(|| (403, reply.to_owned()))
    };
    let proxy = Proxy::replying(fixture.sqs.endpoint(), denied).await;
    let arguments =
        ["list", "--what-if", "--output", "json", "--stack", "worker", "--endpoint-url", &proxy.endpoint];
    let ran = fixture.run(&arguments).await.succeeded();
    assert!(ran.stderr.contains("not read from the stack"), "{}", ran.stderr);
    assert_eq!(ran.rows()[0]["what_if"], "would fail", "there is no such reservation");
}
