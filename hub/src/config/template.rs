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
# certificate = {{ chain = "chain.pem", key = "key.pem" }}   # your own, instead of the hub's

[agents]                                  # QUIC (UDP) for agents
# addresses = ["0.0.0.0:7443"]
# What agents dial, for invites; where empty, what was bound, for agents of this machine.
{public}

[admin]                                   # HTTPS for this machine's operator
# address = "127.0.0.1:9443"
# allow_remote = false                    # true permits an address that is not loopback

[store]
# path = "hub.sqlite"                     # relative to this directory

[log]
# level = "info"                          # or directives: "info,weft_hub=debug"
# format = "text"                         # or "json"

[limits]
# connections_max = 8192                  # users' connections, all together
# connections_per_address_max = 2048
# exchanges_max = 4096                    # running at once; more are refused with 503
# memory_bytes_max = 1610612736           # buffers of all exchanges together
# body_bytes_max = 536870912              # of one request
# outcomes_waiting_max = 65536            # while the database is away; then 503
# failed_keys_per_minute_max = 30         # per address; more are refused with 429
# answer_head_seconds = 900               # how long a model may think before it answers
# exchange_seconds = 3600
# drain_seconds = 30                      # what running exchanges get when the hub stops
"##
    )
}
