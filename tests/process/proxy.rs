//! Variables that name a proxy.

use reservation_worker_local::Services;

use crate::function::{LONG, start};
use crate::sqs_event::{expired, sqs};
use crate::wire::Server;

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used() {
    let proxy = Server::replying("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
    let (services, base) = (Services::start().await.unwrap(), proxy.base());
    let mut variables = vec![("METRICS_SINK", "none"), ("NO_PROXY", ""), ("no_proxy", "")];
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        variables.push((variable, &base));
    }
    let mut function = start(&services, &variables).await;
    function.invoke(&sqs([("m-1", expired("unknown"))]), LONG).await.unwrap();
    let calls = services.calls();
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(calls[0].reply, "404 RESERVATION_NOT_FOUND");
    assert_eq!(proxy.accepted(), 0);
}
