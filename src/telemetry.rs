//! What the function tells: logs now, and the ids that join them to the producers' traces.

pub mod init_error;
pub mod logs;
pub mod traces;
