//! An invocation as the Lambda runtime goes through it: all within its span, and followed by work that is done
//! when its response is out and before the next is asked for. Then nothing is in flight while the environment is
//! frozen.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Then};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaInvocation, Service};
use opentelemetry::trace::WithContext;
use tracing::instrument::Instrumented;

use super::invocation::Invocations;
use crate::retry::Deadline;

/// Kept back of an invocation's time, for asking for the next one.
const RESERVE: Duration = Duration::from_millis(100);

/// An invocation whose response is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Lambda's id of it.
    pub request_id: String,
    /// What may be used of the time that is left: it ends only when the next one is asked for.
    pub left: Duration,
}

/// A layer around the services of the Lambda runtime, the last of which posts the response.
#[derive(Debug, Clone)]
pub struct AfterResponse<W> {
    /// Begins each invocation.
    pub invocations: Arc<Invocations>,
    /// What follows its response.
    pub work: W,
}

/// The services, and the work that follows.
#[derive(Debug, Clone)]
pub struct Followed<S, W> {
    answer: S,
    invocations: Arc<Invocations>,
    work: W,
}

impl<S, W: Clone> Layer<S> for AfterResponse<W> {
    type Service = Followed<S, W>;

    fn layer(&self, answer: S) -> Self::Service {
        Followed { answer, invocations: self.invocations.clone(), work: self.work.clone() }
    }
}

type Sent = Result<(), Error>;

impl<S, W> Service<LambdaInvocation> for Followed<S, W>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    W: Fn(Answered) -> BoxFuture<'static, ()> + Clone + Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Then<
        WithContext<Instrumented<S::Future>>,
        BoxFuture<'static, Sent>,
        Box<dyn FnOnce(Sent) -> BoxFuture<'static, Sent> + Send>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Sent> {
        self.answer.poll_ready(context)
    }

    fn call(&mut self, invoked: LambdaInvocation) -> Self::Future {
        let request_id = invoked.context.request_id.clone();
        let deadline = Deadline::at(invoked.context.deadline()).earlier(RESERVE);
        let invocation = self.invocations.begin(&invoked.context);
        // The runtime reads the payload before there is a future.
        let answer = invocation.around(invocation.within(|| self.answer.call(invoked)));
        let work = self.work.clone();
        let follow = move |sent| {
            invocation.answered();
            let follow = work(Answered { request_id, left: deadline.left() }).map(|()| sent);
            invocation.around(follow).boxed()
        };
        answer.then(Box::new(follow))
    }
}
