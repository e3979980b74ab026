//! `trace_id` is the id of the producer's trace, taken from the first carrier that contains one. Without such a
//! carrier it is the id of the invocation's trace.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, context, expired, record, sqs};

const W3C_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const XRAY_TRACE_ID: &str = "5759e988bd862e3fe1be46a994272793";
const GO_TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const BODY_TRACE_ID: &str = "930eb9a790c7cb0c3a3c48f5434819ba";
const INVOCATION_TRACE_ID: &str = "6af84039c2029f7c3ddb565ad52f1ac6";

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const INVOCATION_HEADER: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=1";

/// The possible carriers of a record's trace id. `Null` means that the carrier is absent.
#[derive(Clone, Debug, Default)]
struct Carriers {
    traceparent: Value,
    trace_header: Value,
    /// The message attribute `TraceId`, which the Go worker read.
    attribute: Value,
    in_body: Value,
    invocation: Value,
}

impl Carriers {
    fn all() -> Self {
        Self {
            traceparent: json!(TRACEPARENT),
            trace_header: json!(TRACE_HEADER),
            attribute: json!(GO_TRACE_ID),
            in_body: json!(BODY_TRACE_ID),
            invocation: json!(INVOCATION_HEADER),
        }
    }

    async fn run(&self, app: &TestApp, body: Value) -> BatchRun {
        let mut record = record("m1", body);
        for (name, value) in [("traceparent", &self.traceparent), ("TraceId", &self.attribute)] {
            if !value.is_null() {
                let attribute = json!({ "stringValue": value, "dataType": "String" });
                record["messageAttributes"][name] = attribute;
            }
        }
        if !self.trace_header.is_null() {
            record["attributes"]["AWSTraceHeader"] = self.trace_header.clone();
        }
        let mut context = context(Duration::ZERO);
        context.xray_trace_id = self.invocation.as_str().map(str::to_owned);
        app.run_in(json!({ "Records": [record] }), context).await.unwrap()
    }

    /// The trace id in the summary line of an event that is processed.
    async fn trace_id(&self, app: &TestApp) -> Value {
        let body = json!({
            "type": "payment.failed",
            "detail": { "reservation_id": "r1" },
            "trace_id": self.in_body,
        });
        let run = self.run(app, body).await;
        assert_eq!(run.outcome("m1"), "success", "no trace id may fail an event: {self:?}");
        assert_eq!(run.log.len(), 1, "no trace id may cause another line: {}", run.text);
        run.line("m1")["trace_id"].clone()
    }
}

async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.hold("r1");
    app
}

#[tokio::test]
async fn the_first_carrier_with_a_trace_id_is_used() {
    let mut carriers = Carriers::all();
    let app = app().await;
    assert_eq!(carriers.trace_id(&app).await, W3C_TRACE_ID);
    carriers.traceparent = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, XRAY_TRACE_ID);
    carriers.trace_header = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, GO_TRACE_ID);
    carriers.attribute = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, BODY_TRACE_ID);
    carriers.in_body = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, INVOCATION_TRACE_ID);
    carriers.invocation = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, Value::Null);
}

#[tokio::test]
async fn each_carrier_is_read_in_every_valid_form() {
    let carriers = Carriers::default();
    let app = app().await;
    for traceparent in [
        TRACEPARENT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-of-a-later-version",
    ] {
        let carriers = Carriers { traceparent: json!(traceparent), ..carriers.clone() };
        assert_eq!(carriers.trace_id(&app).await, W3C_TRACE_ID, "{traceparent}");
    }
    for trace_header in [
        TRACE_HEADER,
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        "Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:a87bd80c:0|68fd508a:5",
    ] {
        let of_record = Carriers { trace_header: json!(trace_header), ..carriers.clone() };
        assert_eq!(of_record.trace_id(&app).await, XRAY_TRACE_ID, "{trace_header}");
        let of_invocation = Carriers { invocation: json!(trace_header), ..carriers.clone() };
        assert_eq!(of_invocation.trace_id(&app).await, XRAY_TRACE_ID, "{trace_header}");
    }
}

/// Checks that each of these values is ignored and the next carrier is used.
async fn assert_ignored(traceparents: &[&str], trace_headers: &[&str], in_bodies: &[Value]) {
    let no_carriers = Carriers::default;
    let mut cases = Vec::new();
    for traceparent in traceparents {
        let traceparent = json!(traceparent);
        cases.push((Carriers { traceparent, ..Carriers::all() }, json!(XRAY_TRACE_ID)));
    }
    for header in trace_headers {
        let (traceparent, trace_header) = (Value::Null, json!(header));
        cases.push((Carriers { traceparent, trace_header, ..Carriers::all() }, json!(GO_TRACE_ID)));
        let invocation = json!(header);
        cases.push((Carriers { invocation, ..no_carriers() }, Value::Null));
    }
    for text in in_bodies.iter().filter(|value| value.is_string()) {
        let (attribute, in_body) = (text.clone(), json!(BODY_TRACE_ID));
        cases.push((Carriers { attribute, in_body, ..no_carriers() }, json!(BODY_TRACE_ID)));
    }
    for in_body in in_bodies {
        let (in_body, invocation) = (in_body.clone(), json!(INVOCATION_HEADER));
        cases.push((Carriers { in_body, invocation, ..no_carriers() }, json!(INVOCATION_TRACE_ID)));
    }
    let app = app().await;
    let mut failures = Vec::new();
    for (carriers, expected) in cases {
        let found = carriers.trace_id(&app).await;
        if found != expected {
            failures.push(format!("{found} from {carriers:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn an_invalid_value_in_a_carrier_is_ignored() {
    let traceparents = [
        "",
        " ",
        "garbage",
        "00",
        "00-",
        "00--",
        "00-00-00-00",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n{\"level\":\"ERROR\"}",
    ];
    let trace_headers = [
        "",
        ";",
        "=",
        "garbage",
        "Root",
        "Root=",
        "Root=1",
        "Root=1-",
        "Sampled=1",
        "Parent=53995c3f42cd8ad8;Sampled=1",
        "5759e988bd862e3fe1be46a994272793",
        "1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a99427279g;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a994272793-1;Parent=53995c3f42cd8ad8;Sampled=1",
    ];
    let in_bodies = [
        json!(""),
        json!("garbage"),
        json!("00000000000000000000000000000000"),
        json!("930eb9a790c7cb0c3a3c48f5434819b"),
        json!("930eb9a790c7cb0c3a3c48f5434819ba1"),
        json!("930eb9a790c7cb0c3a3c48f5434819bg"),
        json!("-30eb9a790c7cb0c3a3c48f5434819ba"),
        json!("930eb9a7-90c7-cb0c-3a3c-48f54348"),
        json!("930eb9a790c7cb0c3a3c48f543481é"),
        json!("9\r\n\"eb9a790c7cb0c3a3c48f5434819b"),
        json!(7),
        json!(true),
        json!([BODY_TRACE_ID]),
        json!({ "id": BODY_TRACE_ID }),
    ];
    assert_ignored(&traceparents, &trace_headers, &in_bodies).await;
}

/// The parsers in use accept such a value and return an id that was not sent.
#[tokio::test]
async fn an_id_with_a_sign_or_the_wrong_number_of_digits_is_ignored() {
    let traceparents = [
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let trace_headers = [
        "Root=1-5-6",
        "Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a9942727931;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-+759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    ];
    let in_bodies = [json!("+30eb9a790c7cb0c3a3c48f5434819ba")];
    assert_ignored(&traceparents, &trace_headers, &in_bodies).await;
}

#[tokio::test]
async fn an_unreadable_trace_id_does_not_fail_the_event() {
    let app = app().await;
    let unreadable = [
        ("a number that is too large", "1e400".to_owned()),
        ("half of a surrogate pair", r#""\ud800""#.to_owned()),
        ("200 levels of nesting", format!("{}{}", "[".repeat(200), "]".repeat(200))),
    ];
    let mut failures = Vec::new();
    for (name, json) in unreadable {
        let body = expired("r1").to_string();
        let body = body.replacen('{', &format!("{{\"trace_id\":{json},"), 1);
        let run = app.run(sqs([("m1", Value::String(body))])).await;
        if run.outcome("m1") != "success" {
            failures.push(format!("{name}: {}", run.reason("m1")));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Checks the trace id of an event with this body, and of the same body encoded as a JSON string.
async fn assert_trace_of_body(body: Value) {
    let app = app().await;
    let as_string = Value::String(Value::String(body.to_string()).to_string());
    for body in [body, as_string] {
        let run = Carriers::default().run(&app, body.clone()).await;
        assert_eq!(run.line("m1")["trace_id"], BODY_TRACE_ID, "{body}");
    }
}

#[tokio::test]
async fn the_trace_id_is_read_from_the_object_that_contains_the_type() {
    for facts in [
        json!({ "detail": { "reservation_id": "r1" } }),
        json!({ "reservation_id": "r1", "payload": {} }),
        json!({ "reservation_id": "r1" }),
    ] {
        let mut body = facts;
        body["type"] = json!("payment.failed");
        body["trace_id"] = json!(BODY_TRACE_ID);
        assert_trace_of_body(body).await;
    }
}

/// The envelope of EventBridge has no field for a trace id.
#[tokio::test]
async fn the_trace_id_of_an_eventbridge_event_is_read_from_its_detail() {
    let detail = json!({ "reservation_id": "r1", "trace_id": BODY_TRACE_ID });
    assert_trace_of_body(json!({ "detail-type": "payment.failed", "detail": detail })).await;
}

#[tokio::test]
async fn an_invalid_record_keeps_its_trace_id() {
    let mut carriers = Carriers::all();
    let app = TestApp::new().await;
    for body in [json!("no JSON"), json!({ "type": "SECRET" }), json!({ "type": "payment.failed" })] {
        carriers.traceparent = json!(TRACEPARENT);
        assert_eq!(carriers.run(&app, body.clone()).await.line("m1")["trace_id"], W3C_TRACE_ID, "{body}");
        carriers.traceparent = Value::Null;
        assert_eq!(carriers.run(&app, body.clone()).await.line("m1")["trace_id"], XRAY_TRACE_ID, "{body}");
    }
    let carriers = Carriers { invocation: json!(INVOCATION_HEADER), ..Carriers::default() };
    let run = carriers.run(&app, json!("no JSON")).await;
    assert_eq!(run.line("m1")["trace_id"], INVOCATION_TRACE_ID);
}

#[tokio::test]
async fn each_record_of_a_batch_has_its_own_trace_id() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (1..=5).map(|number| format!("{number:032x}")).collect();
    let records: Vec<_> = ids
        .iter()
        .map(|id| record(id, json!({ "type": "payment.failed", "reservation_id": id, "trace_id": id })))
        .collect();
    ids.iter().for_each(|id| app.hold(id));
    let run = app.run(json!({ "Records": records })).await;
    for id in &ids {
        assert_eq!(run.line(id)["trace_id"], *id);
    }
}
