//! Work that is done when an invocation's response is out and before the next is asked for: then nothing is
//! in flight while the environment is frozen.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Then};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaInvocation, Service};
use std::task::{Context, Poll};

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
pub struct AfterResponse<W>(pub W);

/// The services, and the work that follows.
#[derive(Debug, Clone)]
pub struct Followed<S, W> {
    answer: S,
    work: W,
}

impl<S, W: Clone> Layer<S> for AfterResponse<W> {
    type Service = Followed<S, W>;

    fn layer(&self, answer: S) -> Self::Service {
        Followed { answer, work: self.0.clone() }
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
    type Future =
        Then<S::Future, BoxFuture<'static, Sent>, Box<dyn FnOnce(Sent) -> BoxFuture<'static, Sent> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Sent> {
        self.answer.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let request_id = invocation.context.request_id.clone();
        let deadline = Deadline::at(invocation.context.deadline()).earlier(RESERVE);
        let work = self.work.clone();
        let follow = move |sent| work(Answered { request_id, left: deadline.left() }).map(|()| sent).boxed();
        self.answer.call(invocation).then(Box::new(follow))
    }
}
