//! An X-Ray daemon.

use std::io;

use serde_json::{Map, Value, json};
use tokio::net::UdpSocket;

/// The largest UDP datagram in bytes.
const MAX_DATAGRAM: usize = 65_536;

/// The UDP port of an X-Ray daemon.
pub struct Daemon(UdpSocket);

impl Daemon {
    /// Opens a free loopback port.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        Ok(Self(UdpSocket::bind("127.0.0.1:0").await?))
    }

    /// The value for `AWS_XRAY_DAEMON_ADDRESS`: `127.0.0.1:<port>`.
    ///
    /// # Errors
    ///
    /// The socket has no address.
    pub fn address(&self) -> io::Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    /// Waits for a datagram and returns the segment document in it.
    ///
    /// # Errors
    ///
    /// The datagram does not follow the protocol of the daemon.
    pub async fn document(&self) -> io::Result<Value> {
        let mut datagram = vec![0; MAX_DATAGRAM];
        let length = self.0.recv(&mut datagram).await?;
        decode(&datagram[..length])
    }

    /// Returns the segment documents that have arrived, without waiting.
    ///
    /// # Errors
    ///
    /// A datagram does not follow the protocol of the daemon.
    pub fn documents(&self) -> io::Result<Vec<Value>> {
        let (mut datagram, mut documents) = (vec![0; MAX_DATAGRAM], Vec::new());
        loop {
            match self.0.try_recv(&mut datagram) {
                Ok(length) => documents.push(decode(&datagram[..length])?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(documents),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Decodes a datagram: a line with a header that names the format, then the document.
fn decode(datagram: &[u8]) -> io::Result<Value> {
    let line_end = datagram.iter().position(|byte| *byte == b'\n');
    let (header, document) = datagram.split_at(line_end.ok_or_else(|| io::Error::other("no header"))?);
    let header: Value = serde_json::from_slice(header)?;
    if header != json!({ "format": "json", "version": 1 }) {
        return Err(io::Error::other(format!("unexpected header {header}")));
    }
    Ok(serde_json::from_slice(document)?)
}

/// Returns the segment of a document and all its subsegments, nested ones included. A subsegment inherits its
/// `trace_id` and its `parent_id` from the segment that contains it.
pub fn segments(document: &Value) -> Vec<Map<String, Value>> {
    let mut segment = document.as_object().cloned().unwrap_or_default();
    let nested = segment.remove("subsegments").unwrap_or_default();
    let (trace_id, id) = (segment.get("trace_id").cloned(), segment.get("id").cloned());
    let mut segments = vec![segment];
    for nested in nested.as_array().into_iter().flatten() {
        let mut nested = nested.clone();
        nested["trace_id"] = trace_id.clone().unwrap_or_default();
        nested["parent_id"] = id.clone().unwrap_or_default();
        segments.extend(self::segments(&nested));
    }
    segments
}
