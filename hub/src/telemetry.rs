//! What the hub says about itself: log lines and figures.
//!
//! Levels are promises: `error` means somebody must look, `warn` that somebody should know,
//! `info` tells the life of the hub and of tunnels, `debug` that of each exchange, `trace` single
//! reads. No line at any level holds text of a prompt or an answer, a key, a token, or a header's
//! value; ids, sizes, counts and times are all there is.

mod log;
mod metrics;
mod money;

pub use log::{Log, LogError};
pub use metrics::Metrics;
