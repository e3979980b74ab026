//! The command line options of `local` and `load`.

use reservation_worker_local::Fault;

/// The error that a command prints.
pub(crate) type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
pub(crate) struct Options {
    /// The URL of an SQS endpoint. `None`: moto.
    pub(crate) endpoint: Option<String>,
    pub(crate) faults: Vec<Fault>,
}

impl Options {
    /// Parses pairs of option and value. Returns `None` if the arguments are not such pairs.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Option<Self>, Failure> {
        let mut options = Self::default();
        for option in arguments.chunks(2) {
            match *option {
                ["--endpoint", url] => options.endpoint = Some(url.to_owned()),
                ["--fault", fault] => {
                    let fault = serde_json::from_str(fault).map_err(|error| format!("{fault}: {error}"))?;
                    options.faults.push(fault);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(options))
    }
}
