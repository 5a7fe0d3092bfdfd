//! Every limit of the wire, by name. Both ends use the same figures; `wire.md` lists them.

use std::time::Duration;

/// Longest head of a request or an answer, in bytes, its length prefix not counted.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest control or joining message, in bytes, its length prefix not counted.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Most header lines in one head.
pub const HEADER_LINES_MAX: usize = 256;

/// Most accounts that one agent may announce, over all pages.
pub const ACCOUNTS_MAX: usize = 1_024;

/// Most accounts on one page of an announcement; pages are cut so that each fits a message.
pub const ACCOUNTS_PER_PAGE_MAX: usize = 32;

/// Most model patterns, and most deployments, of one account.
pub const MODELS_PER_ACCOUNT_MAX: usize = 64;

/// Longest free text (label, build, reference) inside a message, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// Longest chunk inside a framed body, in bytes: an answer that declares trailers.
pub const FRAMED_CHUNK_BYTES_MAX: usize = 64 * 1024;

/// How long the first message of a session may take, from the end of the TLS handshake.
pub const SESSION_HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How long the head of an exchange may take to arrive whole, once its stream is open.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);

/// Exchange streams that an agent grants the hub on one tunnel.
pub const EXCHANGE_STREAMS: u32 = 1_024;

/// Bidirectional streams that the hub grants an agent: the control stream and one to spare.
/// Every granted stream costs memory in each idle connection.
pub const AGENT_BIDI_STREAMS: u32 = 2;

/// Unidirectional streams that either end grants the other.
pub const UNI_STREAMS: u32 = 2;

/// Receive window of one stream, in bytes: what a stalled reader can hold.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Receive and send window of a tunnel, in bytes: at least what every granted stream can hold at
/// once, so that no set of stalled streams blocks another or the control stream.
pub const TUNNEL_WINDOW_BYTES: u64 =
    (EXCHANGE_STREAMS as u64 + AGENT_BIDI_STREAMS as u64 + UNI_STREAMS as u64)
        * STREAM_WINDOW_BYTES as u64;

/// A tunnel on which nothing was heard for this long is lost.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// Keep-alive interval of the agent, before jitter. The hub sends none.
pub const KEEP_ALIVE: Duration = Duration::from_micros(17_500_000);

/// Keep-alives are spread by this share of [`KEEP_ALIVE`], both ways.
pub const KEEP_ALIVE_JITTER_PERCENT: u32 = 20;

/// First back-off of a reconnecting agent; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// Longest back-off of a reconnecting agent.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Silence on a tunnel with an exchange in flight after which the hub sends a PING.
pub const PING_AFTER: Duration = Duration::from_millis(100);

/// Shortest wait for a PONG before the tunnel is suspect; four round trips where that is longer.
pub const SUSPECT_AFTER_MIN: Duration = Duration::from_millis(200);

/// How long a suspect tunnel has to answer before its streams are reset and it is closed.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Attempts of one exchange, the first one counted.
pub const ATTEMPTS_MAX: u8 = 3;

/// Bytes of a request body kept for another attempt, which are also the bytes searched for the model
/// before an account is chosen.
pub const REPLAY_BYTES_MAX: usize = 256 * 1024;

/// A body of unknown kind turns to bulk priority after this many bytes.
pub const BULK_AFTER_BYTES: u64 = 64 * 1024;

/// Tunnels that one agent may have to one node: a slot's number is below this.
pub const SLOTS_MAX: u32 = 8;

/// Instances of one identity that a slot remembers to have taken over from.
pub const OUSTED_INSTANCES_MAX: usize = 8;

/// Two instances of one identity that take a slot from each other inside this time are parked.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(300);

/// Longest frame of the receipts stream (an entry of a ledger, or a claim of two), in bytes.
pub const RECEIPT_BYTES_MAX: usize = 17 * 1024;

/// Longest signed note of a checkpoint, in bytes.
pub const NOTE_BYTES_MAX: usize = 4 * 1024;

/// Most acknowledgements under one signature.
pub const ACKS_PER_BATCH_MAX: usize = 200;

/// Most keys of a hub's ledger that followed its first one.
pub const HANDOVERS_MAX: usize = 32;

/// Most nodes that show one head of the hub's journal.
pub const JOURNAL_NODES_MAX: usize = 200;

/// Most CLOSE entries that an agent has sent and the hub has said nothing of.
pub const RECEIPTS_IN_FLIGHT_MAX: usize = 4_096;

/// Longest price book, in bytes.
pub const PRICE_BOOK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most price books that an agent keeps and names.
pub const BOOKS_MAX: usize = 16;

/// How long a price book may take to arrive whole, once its stream is open.
pub const PRICE_BOOK_WAIT_MAX: Duration = Duration::from_secs(60);

/// Stream priorities: a higher one is sent first whenever it has something to send.
pub mod priority {
    /// The control stream.
    pub const CONTROL: i32 = 3;
    /// Heads of requests and answers.
    pub const HEAD: i32 = 2;
    /// Small bodies and event streams.
    pub const STREAMING: i32 = 1;
    /// Large bodies.
    pub const BULK: i32 = 0;
    /// Receipts and price books: nobody waits for them.
    pub const LEDGER: i32 = -1;
}

const _: () = assert!(TUNNEL_WINDOW_BYTES >= EXCHANGE_STREAMS as u64 * STREAM_WINDOW_BYTES as u64);
const _: () = assert!(HEAD_BYTES_MAX < STREAM_WINDOW_BYTES as usize);
