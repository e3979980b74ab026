//! A complete function that prints orders. The orders of one customer are printed in the order of the batch. Records
//! that are not JSON are returned. The README of this crate has the commands that run and invoke it.

#![allow(clippy::print_stdout, reason = "an example")]

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use sqs_batch::{BatchProcessor, Deadline, Handler, Job, Record, Settings};

struct Order(Option<Value>);

impl Job for Order {
    fn read(record: &Record) -> Self {
        Self(record.body.as_deref().and_then(|body| serde_json::from_str(body).ok()))
    }

    fn key(&self) -> Option<&str> {
        self.0.as_ref()?["customer"].as_str()
    }
}

struct PrintOrder;

impl Handler for PrintOrder {
    type Job = Order;
    type Outcome = Result<(), &'static str>;

    async fn handle(&self, record: &Record, order: &Order, _: Deadline) -> Self::Outcome {
        let order = order.0.as_ref().ok_or("the body is not JSON")?;
        println!("{}: {} of {}", record.message_id, order["item"], order["customer"]);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let processor = BatchProcessor::new(PrintOrder, Settings::default());
    let handle = async |event: LambdaEvent<_>| processor.handle(event).await.map_err(Diagnostic::from);
    run(service_fn(handle)).await
}
