//! What the function tells: logs, metrics, and the ids that join them to the producers' traces.

pub mod after_response;
pub mod call;
pub mod init_error;
pub mod logs;
pub mod metrics;
pub mod shutdown;
pub mod traces;
