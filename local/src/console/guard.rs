//! Refuses requests that do not come from the console's own page, and restricts what the page may do.
//!
//! Any website that a person opens can send requests to a loopback port. With most requests of a foreign page the
//! browser sends the `Origin` of that foreign page. With others, for example for an image, it sends no `Origin`, but
//! `Sec-Fetch-Site` says that they come from another site. A foreign name that was made to resolve to the loopback
//! address is in `Host`.

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
    if !has_own_origin(request.headers(), port) || is_for_other_site(&request) {
        return (StatusCode::FORBIDDEN, "requests of other pages are refused\n").into_response();
    }
    // A task of its own, so that the request is completed even if the page is closed: a message of the dead-letter
    // queue that was received must be put back.
    let response = tokio::spawn(next.run(request)).await;
    let mut response = response.unwrap_or_else(|_panicked| StatusCode::INTERNAL_SERVER_ERROR.into_response());
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

/// A link on another site may lead to the page.
fn is_for_other_site(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_link = request.uri().path() == "/" && header("sec-fetch-mode") == Some("navigate");
    !matches!(header("sec-fetch-site"), None | Some("same-origin" | "none")) && !is_link
}

fn own_hosts(port: u16) -> [String; 2] {
    ["127.0.0.1", "localhost"].map(|name| match port {
        // A browser omits the standard port.
        80 => name.to_owned(),
        _ => format!("{name}:{port}"),
    })
}
