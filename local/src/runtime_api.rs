//! A Lambda Runtime API of our own, and one function process under it: what Lambda does with a function,
//! without an emulator in between.

use std::env;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::serve::ListenerExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::output::Output;

mod server;

use server::{Answer, Ask, Invocation, routes};

/// Lambda gives a function this long to start.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// A function process with a Runtime API of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct Function {
    child: Child,
    pid: u32,
    started: Instant,
    ready_after: Option<Duration>,
    output: Output,
    asks: mpsc::UnboundedReceiver<Ask>,
    waiting: Option<oneshot::Sender<Invocation>>,
    init_error: Option<Value>,
    has_extension: bool,
    invocations: u64,
    server: JoinHandle<io::Result<()>>,
}

/// An invocation that the function answered.
#[derive(Debug)]
pub struct Invoked {
    /// The body that went to `/response`, or else the one that went to `/error`.
    pub response: Result<Value, Value>,
    /// From handing the payload over to the arrival of the answer.
    pub took: Duration,
    /// As in the function's log.
    pub request_id: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// Time is up. The process still runs; Lambda would kill it.
    #[error("the function did not answer in time")]
    TimedOut,
    /// The process ended.
    #[error("the function ended: {0}")]
    Exited(ExitStatus),
    /// The process cannot be waited for, or its answer is not JSON.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The end of a process.
#[derive(Debug)]
pub struct Exit {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it posted to `/runtime/init/error`, if it did.
    pub init_error: Option<Value>,
}

impl Function {
    /// Starts the Runtime API on a free port of the loopback interface, and `binary` under it. Of the
    /// caller's environment the function sees nothing: it gets what Lambda always sets, and `env`.
    ///
    /// # Errors
    ///
    /// No port, or no such binary. A function that ends at once is no error here, but in [`Self::ready`].
    pub async fn start(
        binary: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<Function> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
        let (ask, asks) = mpsc::unbounded_channel();
        let server = tokio::spawn(axum::serve(listener, routes(ask)).into_future());

        let output = Output::new()?;
        let mut command = Command::new(binary);
        // Where it writes what it measures of coverage.
        let profile = env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file));
        command.env_clear().envs(profile).envs([
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "reservation-worker"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ]);
        command.envs(env).stdin(Stdio::null()).stdout(output.stdio()?).stderr(output.stdio()?);
        let started = Instant::now();
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or_default();
        Ok(Function {
            child,
            pid,
            started,
            ready_after: None,
            output,
            asks,
            waiting: None,
            init_error: None,
            has_extension: false,
            invocations: 0,
            server,
        })
    }

    /// Waits until the function asks for its first invocation; how long that took from its start.
    ///
    /// # Errors
    ///
    /// It ended, or did not ask in the 10 s that Lambda gives it.
    pub async fn ready(&mut self) -> Result<Duration, InvokeError> {
        if self.ready_after.is_none() {
            self.waiting = Some(self.next_waiting().await?);
        }
        Ok(self.ready_after.unwrap_or_default())
    }

    /// Waits until the function asks for its next invocation: what it does after a response is done.
    ///
    /// # Errors
    ///
    /// It ended, or did not ask within 10 s.
    pub async fn idle(&mut self) -> Result<(), InvokeError> {
        self.waiting = Some(self.next_waiting().await?);
        Ok(())
    }

    /// Invokes the function as Lambda does, with a deadline `limit` from now.
    ///
    /// # Errors
    ///
    /// There is no answer. An answer that is an error is in [`Invoked::response`].
    pub async fn invoke(&mut self, payload: &Value, limit: Duration) -> Result<Invoked, InvokeError> {
        self.invoke_raw(payload.to_string(), limit).await
    }

    /// Like [`Self::invoke`], with a payload that is JSON already, or deliberately not.
    ///
    /// # Errors
    ///
    /// As of [`Self::invoke`].
    pub async fn invoke_raw(
        &mut self,
        payload: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<Invoked, InvokeError> {
        let waiting = self.next_waiting().await?;
        self.invocations += 1;
        let number = self.invocations;
        let request_id = format!("{:08x}-0000-4000-8000-{number:012x}", self.pid);
        let now = since_epoch();
        let invocation = Invocation {
            request_id: request_id.clone(),
            deadline_ms: (now + limit).as_millis(),
            trace_id: format!(
                "Root=1-{:08x}-{:08x}{number:016x};Parent={number:016x};Sampled=1",
                now.as_secs(),
                self.pid
            ),
            payload: payload.into(),
        };
        let handed_over = Instant::now();
        // Nobody takes it when the function has gone in the meantime; then that is what answer() reports.
        _ = waiting.send(invocation);
        let response =
            timeout(limit, self.answer(&request_id)).await.map_err(|_elapsed| InvokeError::TimedOut)??;
        Ok(Invoked { response, took: handed_over.elapsed(), request_id })
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    ///
    /// It still runs after `limit`.
    pub async fn exit(&mut self, limit: Duration) -> Result<Exit, InvokeError> {
        let ended = async {
            loop {
                if let Err(error) = self.listen().await {
                    return error;
                }
            }
        };
        match timeout(limit, ended).await.map_err(|_elapsed| InvokeError::TimedOut)? {
            InvokeError::Exited(status) => Ok(Exit { status, init_error: self.init_error.take() }),
            error => Err(error),
        }
    }

    /// Asks the process to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    ///
    /// It still runs after `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Result<Exit, InvokeError> {
        // A process that has been waited for has no id any more: the number may be another's.
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            _ = kill_process(pid, Signal::TERM);
        }
        self.exit(limit).await
    }

    /// Whether it has an extension that is ready: without one Lambda ends it by SIGKILL.
    pub fn has_extension(&self) -> bool {
        self.has_extension
    }

    /// Kills the process at once.
    pub fn kill(&mut self) {
        // The only failure is that it has ended already.
        _ = self.child.start_kill();
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it prints from now on can be read there too, also after its end.
    ///
    /// # Errors
    ///
    /// There are too many open files.
    pub fn output(&self) -> io::Result<Output> {
        self.output.try_clone()
    }

    /// Every whole line of stdout and stderr since the last [`Self::take_log`].
    pub fn raw_log(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Those lines that are JSON objects.
    pub fn log_lines(&self) -> Vec<Value> {
        self.output.json_lines()
    }

    /// Like [`Self::log_lines`], each line once.
    pub fn take_log(&mut self) -> Vec<Value> {
        self.output.take_json_lines()
    }

    async fn next_waiting(&mut self) -> Result<oneshot::Sender<Invocation>, InvokeError> {
        let waits = async {
            loop {
                if let Some(waiting) = self.waiting.take() {
                    return Ok(waiting);
                }
                // An answer that comes here is a late one, to an invocation that has timed out.
                self.listen().await?;
            }
        };
        timeout(INIT_LIMIT, waits).await.map_err(|_elapsed| InvokeError::TimedOut)?
    }

    async fn answer(&mut self, request_id: &str) -> Result<Result<Value, Value>, InvokeError> {
        loop {
            if let Some(answer) = self.listen().await?
                && answer.request_id == request_id
            {
                return Ok(match answer.response {
                    Ok(body) => Ok(json(&body)?),
                    Err(body) => Err(json(&body)?),
                });
            }
        }
    }

    /// Takes the next thing the function says. What it said before it ended comes before its end.
    async fn listen(&mut self) -> Result<Option<Answer>, InvokeError> {
        tokio::select! {
            biased;
            Some(said) = self.asks.recv() => match said {
                Ask::Next { at, invoke } => {
                    self.ready_after.get_or_insert(at.duration_since(self.started));
                    self.waiting = Some(invoke);
                }
                Ask::Answer(answer) => return Ok(Some(answer)),
                Ask::InitError(body) => self.init_error = Some(json(&body)?),
                Ask::ExtensionNext => self.has_extension = true,
            },
            status = self.child.wait() => return Err(InvokeError::Exited(status?)),
        }
        Ok(None)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A body of no bytes is a response, too: to the event source mapping, it is an empty one.
fn json(body: &[u8]) -> io::Result<Value> {
    Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? })
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
