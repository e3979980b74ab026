//! What the function tells: logs, and the ids that join them to the producers' traces.

pub mod call;
pub mod init_error;
pub mod logs;
pub mod traces;
