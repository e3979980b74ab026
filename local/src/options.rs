//! The command line options of `local` and `load`.

use axum::http::Uri;
use reservation_worker_local::Fault;

/// The error that a command prints.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The options of `local` and `load`.
pub(crate) struct Options {
    /// The URL of an SQS endpoint. `None`: moto.
    pub(crate) endpoint: Option<String>,
    pub(crate) faults: Vec<Fault>,
    /// The port of the console. `None`: no console.
    pub(crate) console: Option<ConsolePort>,
}

/// The port of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsolePort {
    /// The default port, or any free port if another program uses the default port.
    Usual,
    /// This port and no other.
    Fixed(u16),
}

impl Options {
    /// Parses pairs of option and value. Returns `None` if the arguments are not such pairs.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Option<Self>, Failure> {
        let mut options = Self { endpoint: None, faults: Vec::new(), console: Some(ConsolePort::Usual) };
        for option in arguments.chunks(2) {
            match *option {
                ["--endpoint", url] if !is_http(url) => {
                    return Err(
                        format!("ENDPOINT (--endpoint) is not an http:// or https:// URL: {url}").into()
                    );
                }
                ["--endpoint", url] => options.endpoint = Some(url.to_owned()),
                ["--fault", fault] => {
                    let fault = serde_json::from_str(fault).map_err(|error| {
                        format!("FAULT (--fault) is not a fault of docs/local.md: {error}: {fault}")
                    })?;
                    options.faults.push(fault);
                }
                ["--console", "off"] => options.console = None,
                ["--console", port] => {
                    let port = port
                        .parse()
                        .map_err(|_| format!("CONSOLE (--console) is neither `off` nor a port: {port}"))?;
                    options.console = Some(ConsolePort::Fixed(port));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(options))
    }
}

fn is_http(url: &str) -> bool {
    let scheme = url.parse::<Uri>().ok().and_then(|url| url.scheme_str().map(str::to_owned));
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}
