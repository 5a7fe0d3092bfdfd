//! The `hub.toml` that `init` writes: short, commented, and read back by the same parser.

use weft_certs::HubAddress;

/// The text of a new `hub.toml` for a hub whose agents dial `public`.
#[must_use]
pub fn render_initial(public: &[HubAddress]) -> String {
    let texts: Vec<String> = public.iter().map(|address| format!("\"{address}\"")).collect();
    let public = match texts.as_slice() {
        [] => "# public = []".to_owned(),
        texts => format!("public = [{}]", texts.join(", ")),
    };
    format!(
        r##"# Settings of this hub. Every key may be left out; what stands after "#" is the default.
# The environment overrides it (WEFT_LIMITS__DRAIN_SECONDS=5), flags override both.

[users]                                   # HTTPS for users' SDKs
# addresses = ["0.0.0.0:8443"]
# h3 = true                               # HTTP/3 too, on the UDP ports of the same numbers
# h3_port = 443                           # where users reach it, if at another port than here
# certificate = {{ chain = "chain.pem", key = "key.pem" }}   # your own, instead of the hub's

[agents]                                  # QUIC (UDP) for agents
# addresses = ["0.0.0.0:7443"]
# What agents dial, for invites; where empty, what was bound, for agents of this machine.
{public}

[admin]                                   # HTTPS for this machine's operator
# address = "127.0.0.1:9443"
# allow_remote = false                    # true permits an address that is not loopback

[store]
# path = "hub.sqlite"                     # SQLite; relative to this directory
# url = "mysql://weft:password@127.0.0.1:3306/weft"   # MariaDB or MySQL instead; ?ssl-mode=… for TLS

[log]
# level = "info"                          # or directives: "info,weft_hub=debug"
# format = "text"                         # or "json"

[money]
# charging = true                         # false: nobody pays, nothing is held
# unpriced = "refuse"                     # or "free": models that the price book does not know
# hidden_output = "refuse"                # or "estimate": streams that hide output and tell no usage
# overdraft_max = "0.50"                  # USD: how far one overrun may take a balance below nothing
# lease = "1.00"                          # USD that a node takes of a balance at once
# claim_window_seconds = 86400            # after a crash: how long a hold waits for its receipt
# dispute_window_seconds = 604800         # before an income is the owner's
# drain_max_seconds = 2                   # for the last figures of an answer whose user is gone
# on_abort = {{ openai = "cancel", azure = "cancel", anthropic = "cancel", deepseek = "cancel" }}   # or "drain"

[webhook]                                 # events (payouts, spend limits) as JSON, by POST
# url = "https://example.com/weft"        # where empty, nobody is told
# secret = "webhook.secret"               # a file in this directory, mode 600: signs the bodies

[limits]
# connections_max = 8192                  # users' connections, all together
# connections_per_address_max = 2048
# exchanges_max = 4096                    # running at once; more are refused with 503
# memory_bytes_max = 1610612736           # buffers of all exchanges together
# body_bytes_max = 536870912              # of one request
# outcomes_waiting_max = 65536            # while the database is away; then 503
# failed_keys_per_minute_max = 30         # per address; more are refused with 429
# agent_wait_seconds = 25                 # how long a request waits for an agent that is to be back
# answer_head_seconds = 900               # how long a model may think before it answers
# exchange_seconds = 3600
# drain_seconds = 30                      # what running exchanges get when the hub stops
"##
    )
}
