//! `weft-loadtest users`: users' traffic against any base URL that speaks OpenAI's or Anthropic's
//! dialect, over HTTP/1.1, HTTP/2 or HTTP/3.
//!
//! Open-loop load keeps its rate whatever the other end does, and every time is measured from the
//! moment at which a request was to be sent; closed-loop load keeps so many requests under way.
//! Each event loop is one thread with its own connections and its own figures, which are added up
//! at the end: nothing is shared while requests run. `docs/users.md` says what each figure means.
//!
//! It never targets an address that is not loopback unless it is told that the target is one's own,
//! takes no key from the command line, and always ends.

mod ask;
mod body;
pub mod command;
mod drive;
mod exchange;
mod fault;
mod follow;
mod histogram;
mod key;
mod kind;
mod learn;
mod moment;
mod report;
mod run;
mod schedule;
mod settings;
mod table;
mod tally;
mod target;
mod text;
mod trust;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;
