//! What makes an agent a simulated one: a host table of loopback addresses.
//!
//! The rest of `weft-agent-sim` is the agent's own library. Nothing here can name a host that is
//! not this machine: [`HostTable::simulated`] refuses it.

use std::str::FromStr;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::{HostRefused, HostTable};

/// What `weft-agent-sim --version` says.
pub const SIMULATED_BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (simulated providers, for tests and demonstrations only)");

/// One `--simulate PROVIDER=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    provider: Provider,
    url: String,
}

impl FromStr for Simulated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, url) = text
            .split_once('=')
            .ok_or("want PROVIDER=URL, such as openai=http://127.0.0.1:4010")?;
        let provider = provider.parse().map_err(|_| {
            let names = Provider::ALL.map(Provider::name).join(", ");
            format!("no provider is called {provider:?}: want one of {names}")
        })?;
        let simulated = Self { provider, url: url.to_owned() };
        host_table([simulated.clone()]).map_err(|refused| refused.to_string())?;
        Ok(simulated)
    }
}

/// The table of an agent that may call `simulated` and nothing else.
///
/// # Errors
/// [`HostRefused`] for an address that is not this machine's, and for a provider given twice.
pub fn host_table(
    simulated: impl IntoIterator<Item = Simulated>,
) -> Result<HostTable, HostRefused> {
    HostTable::simulated(simulated.into_iter().map(|simulated| (simulated.provider, simulated.url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_can_be_simulated() {
        for good in
            ["openai=http://127.0.0.1:4010", "anthropic=http://[::1]:9", "azure=http://localhost:1"]
        {
            assert!(good.parse::<Simulated>().is_ok(), "{good}");
        }
        for bad in [
            "openai",
            "acme=http://127.0.0.1:1",
            "openai=http://10.0.0.1:80",
            "openai=https://api.openai.com",
            "openai=http://127.0.0.1.evil.example:80",
            "deepseek=http://127.0.0.1@evil.example",
        ] {
            assert!(bad.parse::<Simulated>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_provider_given_twice_is_refused() {
        let one: Simulated = "openai=http://127.0.0.1:1".parse().unwrap();
        assert!(host_table([one.clone()]).is_ok());
        assert!(host_table([one.clone(), one]).is_err());
    }
}
