//! A function under its Runtime API: starts it, invokes it, and ends it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::serve::ListenerExt;
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::endpoints::{FunctionRequest, FunctionResponse, Invocation, routes};
use super::error::InvokeError;
use super::process::{Exit, Process};
use crate::output::Output;

/// The time limit that Lambda sets for the start of a function.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// A function process with its own Runtime API. Dropping it kills the process.
#[derive(Debug)]
pub struct Function {
    process: Process,
    ready_after: Option<Duration>,
    requests: mpsc::UnboundedReceiver<FunctionRequest>,
    /// The function's open request for its next invocation.
    next: Option<oneshot::Sender<Invocation>>,
    init_error: Option<Value>,
    has_extension: bool,
    invocations: u64,
    server: JoinHandle<io::Result<()>>,
}

/// An invocation to which the function has responded.
#[derive(Debug)]
pub struct InvocationResult {
    /// `Ok`: the body that the function posted to `/response`. `Err`: the body that it posted to `/error`.
    pub response: Result<Value, Value>,
    /// The time between sending the payload and receiving the response.
    pub took: Duration,
    /// The request id, which the function also logs.
    pub request_id: String,
}

impl Function {
    /// Starts the Runtime API on a free loopback port, and `binary` with it. The function does not inherit
    /// this process's environment. It gets the variables that Lambda always sets, and `environment`.
    ///
    /// # Errors
    ///
    /// A port cannot be opened, or `binary` does not exist. If the function ends immediately, [`Self::ready`]
    /// returns the error.
    pub async fn start(
        binary: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<Function> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
        let (sender, requests) = mpsc::unbounded_channel();
        let server = tokio::spawn(axum::serve(listener, routes(sender)).into_future());
        Ok(Function {
            process: Process::start(binary, address, environment)?,
            ready_after: None,
            requests,
            next: None,
            init_error: None,
            has_extension: false,
            invocations: 0,
            server,
        })
    }

    /// Waits until the function requests its first invocation. Returns the time between the start and this
    /// request.
    ///
    /// # Errors
    ///
    /// The function has ended, reported that it cannot start, or did not request an invocation within 10 s, which is
    /// Lambda's limit.
    pub async fn ready(&mut self) -> Result<Duration, InvokeError> {
        if self.ready_after.is_none() {
            let next = self.wait_for_next().await;
            self.next = Some(next.map_err(|error| self.init_error.take().map_or(error, init_failed))?);
        }
        Ok(self.ready_after.unwrap_or_default())
    }

    /// Waits until the function requests its next invocation. Then the function has also finished the work
    /// that it does after a response.
    ///
    /// # Errors
    ///
    /// The function has ended, or did not request an invocation within 10 s.
    pub async fn idle(&mut self) -> Result<(), InvokeError> {
        self.next = Some(self.wait_for_next().await?);
        Ok(())
    }

    /// Invokes the function as Lambda does. The deadline is `limit` from now.
    ///
    /// # Errors
    ///
    /// The function does not respond. If it responds with an error, that error is in
    /// [`InvocationResult::response`].
    pub async fn invoke(
        &mut self,
        payload: &Value,
        limit: Duration,
    ) -> Result<InvocationResult, InvokeError> {
        self.invoke_raw(payload.to_string(), limit).await
    }

    /// Like [`Self::invoke`], with a payload of bytes. The payload does not have to be valid JSON.
    ///
    /// # Errors
    ///
    /// The same as of [`Self::invoke`].
    pub async fn invoke_raw(
        &mut self,
        payload: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<InvocationResult, InvokeError> {
        let next = self.wait_for_next().await?;
        self.invocations += 1;
        let number = self.invocations;
        let pid = self.process.pid();
        let request_id = format!("{pid:08x}-0000-4000-8000-{number:012x}");
        let now = since_epoch();
        let invocation = Invocation {
            request_id: request_id.clone(),
            deadline_ms: (now + limit).as_millis(),
            trace_id: format!(
                "Root=1-{:08x}-{pid:08x}{number:016x};Parent={number:016x};Sampled=1",
                now.as_secs()
            ),
            payload: payload.into(),
        };
        let sent = Instant::now();
        // Sending fails if the function has ended in the meantime. In that case `response` returns the error.
        _ = next.send(invocation);
        let response =
            timeout(limit, self.response(&request_id)).await.map_err(|_elapsed| InvokeError::TimedOut)??;
        Ok(InvocationResult { response, took: sent.elapsed(), request_id })
    }

    /// Waits until the process ends. Sends no signal.
    ///
    /// # Errors
    ///
    /// The process still runs after `limit`.
    pub async fn exit(&mut self, limit: Duration) -> Result<Exit, InvokeError> {
        let ended = async {
            loop {
                if let Err(error) = self.handle_request().await {
                    return error;
                }
            }
        };
        match timeout(limit, ended).await.map_err(|_elapsed| InvokeError::TimedOut)? {
            InvokeError::Exited(status) => Ok(Exit { status, init_error: self.init_error.take() }),
            error => Err(error),
        }
    }

    /// Sends SIGTERM to the process and waits until it ends.
    ///
    /// # Errors
    ///
    /// The process still runs after `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Result<Exit, InvokeError> {
        self.process.signal(Signal::TERM);
        self.exit(limit).await
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Kills the process immediately.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Suspends the process (SIGSTOP), as Lambda freezes an execution environment between invocations.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Continues a suspended process.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Whether the function has an extension that is ready. Lambda ends a function without an extension with
    /// SIGKILL.
    pub fn has_extension(&self) -> bool {
        self.has_extension
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A second reader of the function's output. It can be used after this value was dropped.
    ///
    /// # Errors
    ///
    /// The limit of open files is reached.
    pub fn output(&self) -> io::Result<Output> {
        self.process.output().try_clone()
    }

    /// The complete lines of stdout and stderr since the last [`Self::take_log`].
    pub fn raw_log(&self) -> Vec<String> {
        self.process.output().lines()
    }

    /// The lines of [`Self::raw_log`] that are JSON objects.
    pub fn log_lines(&self) -> Vec<Value> {
        self.process.output().json_lines()
    }

    /// Returns the same as [`Self::log_lines`], and does not return these lines again.
    pub fn take_log(&mut self) -> Vec<Value> {
        self.process.output_mut().take_json_lines()
    }

    async fn wait_for_next(&mut self) -> Result<oneshot::Sender<Invocation>, InvokeError> {
        let next = async {
            loop {
                if let Some(next) = self.next.take() {
                    return Ok(next);
                }
                // A response that arrives here is late: its invocation has already timed out.
                self.handle_request().await?;
            }
        };
        timeout(INIT_LIMIT, next).await.map_err(|_elapsed| InvokeError::TimedOut)?
    }

    async fn response(&mut self, request_id: &str) -> Result<Result<Value, Value>, InvokeError> {
        loop {
            if let Some(response) = self.handle_request().await?
                && response.request_id == request_id
            {
                return Ok(match response.body {
                    Ok(body) => Ok(json(&body)?),
                    Err(body) => Err(json(&body)?),
                });
            }
        }
    }

    /// Handles the next request from the function. Returns the response if the request is one, and an error
    /// when the process has ended. All requests that the process sent before its end are handled first.
    async fn handle_request(&mut self) -> Result<Option<FunctionResponse>, InvokeError> {
        tokio::select! {
            biased;
            Some(request) = self.requests.recv() => match request {
                FunctionRequest::Next { at, invocation } => {
                    self.ready_after.get_or_insert(at.duration_since(self.process.started()));
                    self.next = Some(invocation);
                }
                FunctionRequest::Response(response) => return Ok(Some(response)),
                FunctionRequest::InitError(body) => self.init_error = Some(json(&body)?),
                FunctionRequest::ExtensionNext => self.has_extension = true,
            },
            status = self.process.wait() => return Err(InvokeError::Exited(status?)),
        }
        Ok(None)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Decodes a body. An empty body is a valid response, which the event source mapping treats as an empty list.
fn json(body: &[u8]) -> io::Result<Value> {
    Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? })
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn init_failed(error: Value) -> InvokeError {
    let message = error["errorMessage"].as_str().map(str::to_owned);
    InvokeError::InitFailed(message.unwrap_or_else(|| error.to_string()))
}
