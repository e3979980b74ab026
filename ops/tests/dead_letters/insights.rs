//! CloudWatch Logs Insights, as far as the tool uses it. Moto ignores the filter and the limit of a query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::{Value, json};

/// The largest number of lines that a query returns.
const LIMIT: usize = 10_000;

/// A rule for the proxy: queries find those of these summary lines that are about the requested messages. The lines are
/// message ids and reason codes, the newest first.
pub fn insights(
    lines: Vec<(String, String)>,
) -> impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static {
    let queries = Mutex::new(BTreeMap::<String, String>::new());
    move |target, body| {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let mut queries = queries.lock().unwrap();
        match target.rsplit('.').next() {
            Some("StartQuery") => {
                let id = queries.len().to_string();
                queries.insert(id.clone(), body["queryString"].as_str().unwrap().to_owned());
                Some((200, json!({ "queryId": id }).to_string()))
            }
            Some("GetQueryResults") => {
                let requested: BTreeSet<_> = queries[body["queryId"].as_str().unwrap()].split('"').collect();
                let found = lines.iter().filter(|(id, _)| requested.contains(id.as_str()));
                let results: Vec<_> = found.map(|(id, code)| result(id, code)).take(LIMIT).collect();
                Some((200, json!({ "status": "Complete", "results": results }).to_string()))
            }
            _ => None,
        }
    }
}

fn result(message_id: &str, reason_code: &str) -> Value {
    let line = json!({
        "timestamp": "2026-11-26T00:00:00.000000Z", "level": "ERROR", "message": "record is a dead letter",
        "message_id": message_id, "attempt": 5, "reason": format!("because {reason_code}"), "reason_code": reason_code,
    });
    json!([{ "field": "@message", "value": line.to_string() }])
}
