//! A layer of the Lambda runtime that runs an invocation within its span, and then the work that follows its
//! response.
//!
//! The work runs after the response was posted and before the next event is requested, so that nothing is in progress
//! while the environment is frozen.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Then};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaInvocation, Service};
use opentelemetry::trace::WithContext;
use sqs_batch::Deadline;
use tracing::instrument::Instrumented;

use crate::telemetry::invocation::Invocations;

/// The part of an invocation's time that is reserved for requesting the next event.
const RESERVE: Duration = Duration::from_millis(100);

/// An invocation whose response was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedResponse {
    /// The id that Lambda gave the invocation.
    pub request_id: String,
    /// The time that the work may take. The time of the invocation runs until the next event is requested.
    pub time_left: Duration,
}

/// The layer. It wraps the services of the Lambda runtime, the last of which posts the response.
#[derive(Debug, Clone)]
pub struct AfterResponse<W> {
    /// Begins each invocation.
    pub invocations: Arc<Invocations>,
    /// The work that follows each response.
    pub work: W,
}

/// The wrapped services and the work that follows them.
#[derive(Debug, Clone)]
pub struct WithWork<S, W> {
    respond: S,
    invocations: Arc<Invocations>,
    work: W,
}

impl<S, W: Clone> Layer<S> for AfterResponse<W> {
    type Service = WithWork<S, W>;

    fn layer(&self, respond: S) -> Self::Service {
        WithWork { respond, invocations: self.invocations.clone(), work: self.work.clone() }
    }
}

type Posted = Result<(), Error>;

impl<S, W> Service<LambdaInvocation> for WithWork<S, W>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    W: Fn(PostedResponse) -> BoxFuture<'static, ()> + Clone + Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Then<
        WithContext<Instrumented<S::Future>>,
        BoxFuture<'static, Posted>,
        Box<dyn FnOnce(Posted) -> BoxFuture<'static, Posted> + Send>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Posted> {
        self.respond.poll_ready(context)
    }

    fn call(&mut self, event: LambdaInvocation) -> Self::Future {
        let request_id = event.context.request_id.clone();
        let deadline = Deadline::at(event.context.deadline()).earlier(RESERVE);
        let invocation = self.invocations.begin(&event.context);
        // The runtime reads the payload in `call` itself, before it returns the future, so `call` also runs in the
        // scope.
        let respond = invocation.instrument(invocation.in_scope(|| self.respond.call(event)));
        let work = self.work.clone();
        let follow = move |posted| {
            invocation.end();
            let response = PostedResponse { request_id, time_left: deadline.left() };
            invocation.instrument(work(response).map(|()| posted)).boxed()
        };
        respond.then(Box::new(follow))
    }
}
