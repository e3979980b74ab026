//! A proxy between the binary and moto, which replies to calls itself, refuses them, edits replies and loses them.

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use reservation_worker::http_client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is done with a call.
pub enum Act {
    Forward,
    /// Moto does not get it, and the reply is this error of SQS.
    Refuse(&'static str),
    /// Moto does not get it, and the reply is this status with this body.
    Reply(u16, String),
    /// Moto gets it, and its reply is edited.
    Edit(fn(&mut Value)),
    /// Nobody gets it, and there is no reply.
    Swallow,
    /// Moto gets it, and its reply is lost.
    LoseReply,
}

/// A running proxy. Dropping it closes its port.
pub struct Proxy {
    pub endpoint: String,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// `decide` gets the name and the content of each call to SQS, in their order.
    pub async fn start(moto: &str, mut decide: impl FnMut(&str, &Value) -> Act + Send + 'static) -> Self {
        Self::serve(moto, move |target, body| match target.strip_prefix("AmazonSQS.") {
            Some(name) => decide(name, &serde_json::from_str(body).unwrap()),
            None => Act::Forward,
        })
        .await
    }

    /// `reply` gets the target (`ServiceVersion.Operation` of the JSON protocol, or empty) and the body of each call.
    /// It returns a status and a body, or `None` to forward the call.
    pub async fn replying(
        moto: &str,
        mut reply: impl FnMut(&str, &str) -> Option<(u16, String)> + Send + 'static,
    ) -> Self {
        Self::serve(moto, move |target, body| match reply(target, body) {
            Some((status, body)) => Act::Reply(status, body),
            None => Act::Forward,
        })
        .await
    }

    async fn serve(moto: &str, decide: impl FnMut(&str, &str) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let tls = http_client::tls(http_client::web_roots()).unwrap();
        let (client, decide) = (http_client::builder(tls).build().unwrap(), Arc::new(Mutex::new(decide)));
        let moto = moto.to_owned();
        let router = Router::new().fallback(move |request: Request| {
            let (client, decide, moto) = (client.clone(), decide.clone(), moto.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let target = parts.headers.get("x-amz-target").map_or("", |target| target.to_str().unwrap());
                let act = (decide.lock().unwrap())(target, &String::from_utf8_lossy(&body));
                match act {
                    Act::Swallow => return std::future::pending().await,
                    Act::Refuse(code) => {
                        let error = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": code });
                        return response(400, &HeaderMap::new(), error.to_string().into());
                    }
                    Act::Reply(status, body) => return response(status, &HeaderMap::new(), body.into()),
                    Act::Forward | Act::Edit(_) | Act::LoseReply => {}
                }
                let call = client.request(parts.method, format!("{moto}{}", parts.uri));
                let reply = call.headers(parts.headers).body(body).send().await.unwrap();
                let (status, mut headers) = (reply.status().as_u16(), reply.headers().clone());
                let mut body = reply.bytes().await.unwrap();
                match act {
                    Act::LoseReply => return std::future::pending().await,
                    Act::Edit(edit) => {
                        let mut value = serde_json::from_slice(&body).unwrap();
                        edit(&mut value);
                        body = value.to_string().into();
                        headers.remove("content-length");
                    }
                    _ => {}
                }
                response(status, &headers, body)
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, task }
    }

    /// The command, whose calls pass through this proxy.
    pub fn before(&self, mut command: Command) -> Command {
        command.env("AWS_ENDPOINT_URL", &self.endpoint);
        command
    }
}

fn response(status: u16, headers: &HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::builder().status(status).body(Body::from(body)).unwrap();
    for (name, value) in headers.iter().filter(|(name, _)| *name != "transfer-encoding") {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
