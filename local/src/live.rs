//! Queue, services and function on a desk, to send events by hand.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use reservation_worker_local::Hold;
use tokio::time::sleep;

use crate::stand::Stand;
use crate::{Failure, Options};

const ROUND: Duration = Duration::from_millis(500);
/// moto tells by the signature which service is meant.
const SIGNED: &str = "--aws-sigv4 aws:amz:ap-northeast-2:sqs --user test:test";
const RESERVATION: &str = "rsv_example";

/// Runs until Ctrl-C, which drops all.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let stand = Stand::start(options).await?;
    stand.services.create_hold(Hold {
        reservation_id: RESERVATION.to_owned(),
        event_id: "evt_example".to_owned(),
        seat_ids: vec!["A-12".to_owned(), "A-13".to_owned()],
        ..Hold::default()
    })?;
    println!("{}", introduction(&stand));
    let mut shown = String::new();
    loop {
        let line = stand.line().await.unwrap_or_else(|failure| failure.to_string());
        if stdout().is_terminal() {
            print!("\r\x1b[K{line}");
            stdout().flush()?;
        } else if line != shown {
            println!("{line}");
        }
        shown = line;
        sleep(ROUND).await;
    }
}

fn introduction(stand: &Stand) -> String {
    let endpoint = stand.sqs.endpoint();
    let (url, dlq_url) = (&stand.queue.url, &stand.queue.dlq_url);
    let base = stand.services.reservation_api_base();
    let inventory = stand.services.inventory_addr();
    let body = format!(
        r#"{{"type":"reservation.expired","detail":{{"reservation_id":"{RESERVATION}","event_id":"evt_example","seat_ids":["A-12","A-13"]}}}}"#
    );
    format!(
        "\
SQS              {endpoint}
queue            {url}
dead letters     {dlq_url}
reservation API  {base}
inventory        {inventory}

Held: {RESERVATION}, seats A-12 and A-13. Send an event with the AWS CLI:

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=ap-northeast-2 # not on AWS itself
  aws sqs send-message --endpoint-url {endpoint} --queue-url {url} --message-body '{body}'

or, but not on AWS itself, with curl:

  curl {SIGNED} {url} -d Action=SendMessage --data-urlencode MessageBody='{body}'

See what came of it, and the dead letters (a body of `nonsense` becomes one):

  curl {base}/internal/reservations/{RESERVATION}
  aws sqs receive-message --endpoint-url {endpoint} --queue-url {dlq_url} --visibility-timeout 0
  curl {SIGNED} {dlq_url} -d Action=ReceiveMessage -d VisibilityTimeout=0

Ctrl-C stops all.
"
    )
}
