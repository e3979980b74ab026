//! Refuses requests that do not come from the console's own page, and restricts what the page may do.
//!
//! Any website that a person opens can send requests to a loopback port. A foreign page sends its own `Origin`. A
//! foreign name that was made to resolve to the loopback address is in `Host`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

pub(super) async fn check(State(port): State<u16>, request: Request, next: Next) -> Response {
    if !is_own_host(request.headers(), port) {
        return (StatusCode::FORBIDDEN, "this Host is not the address of the console\n").into_response();
    }
    if !has_own_origin(request.headers(), port) {
        return (StatusCode::FORBIDDEN, "requests of other pages are refused\n").into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS);
    response
}

fn is_own_host(headers: &HeaderMap, port: u16) -> bool {
    headers.get(header::HOST).is_some_and(|host| own_hosts(port).iter().any(|own| host == own))
}

/// A browser omits `Origin` when the page itself reads something.
fn has_own_origin(headers: &HeaderMap, port: u16) -> bool {
    let is_own = |origin: &HeaderValue| own_hosts(port).iter().any(|own| *origin == format!("http://{own}"));
    headers.get(header::ORIGIN).is_none_or(is_own)
}

fn own_hosts(port: u16) -> [String; 2] {
    ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"))
}
