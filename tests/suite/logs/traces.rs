//! `trace_id`: the producer's trace, by the first carrier that holds one, else the invocation's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, context, expired, record, sqs};

const W3C: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const XRAY: &str = "5759e988bd862e3fe1be46a994272793";
const BODY: &str = "930eb9a790c7cb0c3a3c48f5434819ba";
const INVOCATION: &str = "6af84039c2029f7c3ddb565ad52f1ac6";

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const INVOCATIONS: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=1";

/// Where a record's trace may come from; `Null` is nowhere.
#[derive(Clone, Debug, Default)]
struct Carriers {
    traceparent: Value,
    trace_header: Value,
    in_body: Value,
    invocation: Value,
}

impl Carriers {
    fn all() -> Self {
        Self {
            traceparent: json!(TRACEPARENT),
            trace_header: json!(TRACE_HEADER),
            in_body: json!(BODY),
            invocation: json!(INVOCATIONS),
        }
    }

    async fn run(&self, app: &TestApp, body: Value) -> BatchRun {
        let mut record = record("m1", body);
        if !self.traceparent.is_null() {
            let attribute = json!({ "stringValue": self.traceparent, "dataType": "String" });
            record["messageAttributes"]["traceparent"] = attribute;
        }
        if !self.trace_header.is_null() {
            record["attributes"]["AWSTraceHeader"] = self.trace_header.clone();
        }
        let mut context = context(Duration::ZERO);
        context.xray_trace_id = self.invocation.as_str().map(str::to_owned);
        app.run_in(json!({ "Records": [record] }), context).await.unwrap()
    }

    /// The trace id in the summary line of an event that is worked.
    async fn trace_id(&self, app: &TestApp) -> Value {
        let body = json!({
            "type": "payment.failed",
            "detail": { "reservation_id": "r1" },
            "trace_id": self.in_body,
        });
        let ran = self.run(app, body).await;
        assert_eq!(ran.outcome("m1"), "success", "a trace never costs an event: {self:?}");
        assert_eq!(ran.log.len(), 1, "nor a line: {}", ran.text);
        ran.line("m1")["trace_id"].clone()
    }
}

async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.hold("r1");
    app
}

#[tokio::test]
async fn the_first_carrier_that_holds_a_trace_counts() {
    let mut carriers = Carriers::all();
    let app = app().await;
    assert_eq!(carriers.trace_id(&app).await, W3C);
    carriers.traceparent = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, XRAY);
    carriers.trace_header = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, BODY);
    carriers.in_body = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, INVOCATION);
    carriers.invocation = Value::Null;
    assert_eq!(carriers.trace_id(&app).await, Value::Null);
}

#[tokio::test]
async fn each_carrier_is_read_in_every_form_that_is_allowed() {
    let carriers = Carriers::default();
    let app = app().await;
    for traceparent in [
        TRACEPARENT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-of-a-later-version",
    ] {
        let carriers = Carriers { traceparent: json!(traceparent), ..carriers.clone() };
        assert_eq!(carriers.trace_id(&app).await, W3C, "{traceparent}");
    }
    for trace_header in [
        TRACE_HEADER,
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        "Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:a87bd80c:0|68fd508a:5",
    ] {
        let of_record = Carriers { trace_header: json!(trace_header), ..carriers.clone() };
        assert_eq!(of_record.trace_id(&app).await, XRAY, "{trace_header}");
        let of_invocation = Carriers { invocation: json!(trace_header), ..carriers.clone() };
        assert_eq!(of_invocation.trace_id(&app).await, XRAY, "{trace_header}");
    }
}

/// Each of these must be passed over for the next carrier.
async fn assert_passed_over(traceparents: &[&str], trace_headers: &[&str], in_bodies: &[Value]) {
    let nothing = Carriers::default;
    let mut cases = Vec::new();
    for traceparent in traceparents {
        let traceparent = json!(traceparent);
        cases.push((Carriers { traceparent, ..Carriers::all() }, json!(XRAY)));
    }
    for header in trace_headers {
        let (traceparent, trace_header) = (Value::Null, json!(header));
        cases.push((Carriers { traceparent, trace_header, ..Carriers::all() }, json!(BODY)));
        let invocation = json!(header);
        cases.push((Carriers { invocation, ..nothing() }, Value::Null));
    }
    for in_body in in_bodies {
        let (in_body, invocation) = (in_body.clone(), json!(INVOCATIONS));
        cases.push((Carriers { in_body, invocation, ..nothing() }, json!(INVOCATION)));
    }
    let app = app().await;
    let mut wrong = Vec::new();
    for (carriers, expected) in cases {
        let found = carriers.trace_id(&app).await;
        if found != expected {
            wrong.push(format!("{found} of {carriers:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn garbage_in_a_carrier_is_passed_over() {
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
        json!([BODY]),
        json!({ "id": BODY }),
    ];
    assert_passed_over(&traceparents, &trace_headers, &in_bodies).await;
}

/// The parsers in use read a short number, or one with a sign, as an id that nobody sent.
#[tokio::test]
async fn an_id_with_too_few_or_too_many_digits_is_garbage_too() {
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
    assert_passed_over(&traceparents, &trace_headers, &in_bodies).await;
}

#[tokio::test]
async fn a_trace_id_that_cannot_be_read_costs_no_event() {
    let app = app().await;
    let unreadable = [
        ("too large a number", "1e400".to_owned()),
        ("half of a surrogate pair", r#""\ud800""#.to_owned()),
        ("200 levels", format!("{}{}", "[".repeat(200), "]".repeat(200))),
    ];
    let mut wrong = Vec::new();
    for (name, json) in unreadable {
        let body = expired("r1").to_string();
        let body = body.replacen('{', &format!("{{\"trace_id\":{json},"), 1);
        let ran = app.run(sqs([("m1", Value::String(body))])).await;
        if ran.outcome("m1") != "success" {
            wrong.push(format!("{name}: {}", ran.reason("m1")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of an event in this body, and of the same body as a JSON string.
async fn assert_trace_of_body(body: Value) {
    let app = app().await;
    let as_string = Value::String(Value::String(body.to_string()).to_string());
    for body in [body, as_string] {
        let ran = Carriers::default().run(&app, body.clone()).await;
        assert_eq!(ran.line("m1")["trace_id"], BODY, "{body}");
    }
}

#[tokio::test]
async fn the_trace_id_stands_beside_the_type() {
    for facts in [
        json!({ "detail": { "reservation_id": "r1" } }),
        json!({ "reservation_id": "r1", "payload": {} }),
        json!({ "reservation_id": "r1" }),
    ] {
        let mut body = facts;
        body["type"] = json!("payment.failed");
        body["trace_id"] = json!(BODY);
        assert_trace_of_body(body).await;
    }
}

/// The rule's envelope has no place for it.
#[tokio::test]
async fn the_trace_id_of_an_eventbridge_event_stands_in_its_detail() {
    let detail = json!({ "reservation_id": "r1", "trace_id": BODY });
    assert_trace_of_body(json!({ "detail-type": "payment.failed", "detail": detail })).await;
}

#[tokio::test]
async fn a_record_that_is_not_understood_keeps_its_trace() {
    let mut carriers = Carriers::all();
    let app = TestApp::new().await;
    for body in [json!("no JSON"), json!({ "type": "SECRET" }), json!({ "type": "payment.failed" })] {
        carriers.traceparent = json!(TRACEPARENT);
        assert_eq!(carriers.run(&app, body.clone()).await.line("m1")["trace_id"], W3C, "{body}");
        carriers.traceparent = Value::Null;
        assert_eq!(carriers.run(&app, body.clone()).await.line("m1")["trace_id"], XRAY, "{body}");
    }
    let carriers = Carriers { invocation: json!(INVOCATIONS), ..Carriers::default() };
    let ran = carriers.run(&app, json!("no JSON")).await;
    assert_eq!(ran.line("m1")["trace_id"], INVOCATION);
}

#[tokio::test]
async fn each_record_of_a_batch_has_its_own_trace() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (1..=5).map(|number| format!("{number:032x}")).collect();
    let records: Vec<_> = ids
        .iter()
        .map(|id| record(id, json!({ "type": "payment.failed", "reservation_id": id, "trace_id": id })))
        .collect();
    ids.iter().for_each(|id| app.hold(id));
    let ran = app.run(json!({ "Records": records })).await;
    for id in &ids {
        assert_eq!(ran.line(id)["trace_id"], *id);
    }
}
