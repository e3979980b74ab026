//! What the function tells: logs and traces, joined by ids.

pub mod call;
pub mod init_error;
pub mod logs;
pub mod traces;
