//! A proxy in front of moto that replies to some calls itself, as AWS does and moto does not.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use reservation_worker::http_client;
use tokio::task::AbortHandle;

/// Replies to a call with a status and a body, or returns `None` to pass it on. The first argument is `ServiceVersion.Operation`
/// of the JSON protocol, or empty; the second one is the body.
type Rule = dyn Fn(&str, &str) -> Option<(u16, String)> + Send + Sync;

/// A running proxy. Dropping this value stops it.
pub struct Proxy {
    pub endpoint: String,
    server: AbortHandle,
}

#[derive(Clone)]
struct Upstream {
    endpoint: String,
    rule: Arc<Rule>,
    client: reqwest::Client,
}

impl Proxy {
    pub async fn start(
        endpoint: &str,
        rule: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Self {
        let tls = http_client::tls(http_client::web_roots()).unwrap();
        let client = http_client::builder(tls).build().unwrap();
        let upstream = Upstream { endpoint: endpoint.to_owned(), rule: Arc::new(rule), client };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(reply).with_state(upstream);
        let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() }).abort_handle();
        Self { endpoint, server }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn reply(State(upstream): State<Upstream>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target").map_or("", |target| target.to_str().unwrap());
    if let Some((status, text)) = (upstream.rule)(target, &String::from_utf8_lossy(&body)) {
        return response(status, &HeaderMap::new(), text.into());
    }
    let url = format!("{}{}", upstream.endpoint, parts.uri);
    let forwarded = upstream.client.request(parts.method, url).headers(parts.headers).body(body);
    let reply = forwarded.send().await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    response(status, &headers, reply.bytes().await.unwrap())
}

fn response(status: u16, headers: &HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::builder().status(status).body(Body::from(body)).unwrap();
    for (name, value) in headers.iter().filter(|(name, _)| *name != "transfer-encoding") {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
