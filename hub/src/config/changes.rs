//! What differs between two sets of settings, and which of it a running hub can take.

use super::HubConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The keys that a running hub takes from a reload. Everything else is fixed at its start: addresses
/// of doors, the store, the form of the log, and limits that size something made at the start.
const LIVE: [&str; 26] = [
    "limits.agent_wait_seconds",
    "limits.answer_head_seconds",
    "limits.answer_idle_seconds",
    "limits.body_bytes_max",
    "limits.body_idle_seconds",
    "limits.drain_seconds",
    "limits.exchange_seconds",
    "limits.exchanges_max",
    "limits.h2_resets_max",
    "limits.h2_streams_max",
    "limits.h3_streams_max",
    "limits.handshake_seconds",
    "limits.head_bytes_max",
    "limits.head_seconds",
    "log.level",
    "money.claim_window_seconds",
    "money.dispute_window_seconds",
    "money.drain_max_seconds",
    "money.hidden_output",
    "money.lease",
    "money.on_abort",
    "money.overdraft_max",
    "money.unpriced",
    "users.certificate",
    "webhook.secret",
    "webhook.url",
];

/// One key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The key, as `section.key`.
    pub key: String,
    /// What is in force before it, as JSON.
    pub from: String,
    /// What it should be, as JSON.
    pub to: String,
    /// Whether a running hub takes it; otherwise it holds from the next start.
    pub live: bool,
}

/// Each key whose value in `new` is another than in `old`, in the order of their names.
#[must_use]
pub fn changes(old: &HubConfig, new: &HubConfig) -> Vec<Change> {
    let (old, new) = (flat(old), flat(new));
    let text = |values: &BTreeMap<String, Value>, key: &str| {
        values.get(key).unwrap_or(&Value::Null).to_string()
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .map(|key| Change {
            key: key.clone(),
            from: text(&old, key),
            to: text(&new, key),
            live: LIVE.contains(&key.as_str()),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

/// Settings as `section.key` and value.
fn flat(settings: &HubConfig) -> BTreeMap<String, Value> {
    // Settings are plain values: they always have a form in JSON.
    let Ok(Value::Object(sections)) = serde_json::to_value(settings) else {
        return BTreeMap::new();
    };
    let mut flat = BTreeMap::new();
    for (section, values) in sections {
        if let Value::Object(values) = values {
            flat.extend(values.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings in which every value of `[limits]` and `log.level` is another than the default.
    fn all_different() -> HubConfig {
        let Value::Object(mut all) = serde_json::to_value(HubConfig::default()).unwrap() else {
            panic!("settings are an object")
        };
        let Some(Value::Object(limits)) = all.get_mut("limits") else { panic!("limits") };
        for value in limits.values_mut() {
            *value = (value.as_u64().unwrap() + 1).into();
        }
        all["money"] = serde_json::json!({
            "charging": false,
            "unpriced": "free",
            "hidden_output": "estimate",
            "overdraft_max": "1.00",
            "lease": "2.00",
            "claim_window_seconds": 60,
            "dispute_window_seconds": 60,
            "drain_max_seconds": 0,
            "on_abort": {"deepseek": "drain"},
        });
        all["log"]["level"] = "trace".into();
        all["users"]["certificate"] = serde_json::json!({"chain": "a", "key": "b"});
        all["webhook"] = serde_json::json!({"url": "https://example.com/", "secret": "c"});
        all["store"]["path"] = "elsewhere".into();
        serde_json::from_value(Value::Object(all)).unwrap()
    }

    #[test]
    fn what_is_called_live_is_what_a_running_hub_takes() {
        let (old, new) = (HubConfig::default(), all_different());
        let taken = old.with_live_of(&new);
        let all = changes(&old, &new);
        assert!(all.len() > 18, "{all:?}");
        let live: Vec<_> = all.iter().filter(|change| change.live).cloned().collect();
        assert_eq!(changes(&old, &taken), live, "taken is what is live");
        assert_eq!(live.len(), LIVE.len(), "every live key is a setting");
        let left = changes(&taken, &new);
        assert!(left.iter().all(|change| !change.live) && left.len() + live.len() == all.len());
    }

    #[test]
    fn a_change_tells_both_values_and_equal_settings_tell_none() {
        let (old, mut new) = (HubConfig::default(), HubConfig::default());
        assert_eq!(changes(&old, &new), []);
        new.limits.drain = std::time::Duration::from_secs(5);
        let change = &changes(&old, &new)[0];
        assert_eq!((&*change.key, &*change.from, &*change.to), ("limits.drain_seconds", "30", "5"));
    }
}
