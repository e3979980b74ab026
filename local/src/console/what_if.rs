//! Asks the operator's tool `dead-letters` what would happen if the dead letters were redriven now. The console runs
//! the tool itself, so that its answers are those that an operator gets.

use std::process::Stdio;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use reservation_worker_local::cargo;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::backend::Shared;
use super::refusal::Refusal;
use crate::activity::LOG_GROUP;
use crate::pipeline;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/dead-letters/what-if", get(what_if))
}

/// What the tool prints about a message, without the fields that the page does not show.
#[derive(Serialize, Deserialize)]
struct Prediction {
    message_id: String,
    what_if: String,
    what_if_why: String,
}

async fn what_if(State(backend): State<Shared>) -> Result<Json<Vec<Prediction>>, Refusal> {
    let (pipeline, build) = (&backend.pipeline, &backend.activity.tool_build);
    let tool = {
        let _end = build.begin();
        cargo::operators_tool(&pipeline::workspace()?, &pipeline.target, |line| build.show(line)).await?
    };
    // The tool receives the messages, so that they are invisible to others for a moment.
    let _messages = backend.dead_letters.lock().await;
    let mut command = Command::new(tool);
    command.args(["list", "--what-if", "--output", "json"]);
    command.args(["--queue-url", &pipeline.queue.dlq_url, "--event-queue-url", &pipeline.queue.url]);
    command.args(["--log-group", LOG_GROUP]);
    command.envs(backend.activity.operators_environment()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        return Err(Refusal::invalid(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Json(serde_json::from_slice(&output.stdout)?))
}
