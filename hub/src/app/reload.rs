//! Reload: the settings and the users' certificate are read again while the hub runs.
//!
//! All or nothing: whatever is read is checked before the first part of it is put in force, and a
//! file with one mistake changes nothing. Requests that run keep what they began with. Keys that a
//! running hub cannot take are told as such, with their values, and hold from the next start.

use super::certificate::UsersCertificate;
use super::webhook;
use crate::admin::{ReloadRefused, Reloaded, Reloads};
use crate::config::{HubConfig, LiveLimits, LiveMoney, Overrides, changes};
use crate::telemetry::Log;
use crate::webhook::LiveWebhook;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Reads the settings again, one caller at a time.
pub(super) struct ReloadDesk {
    running: Mutex<HubConfig>,
    limits: LiveLimits,
    money: LiveMoney,
    hook: LiveWebhook,
    certificate: UsersCertificate,
    process: OnceLock<(Overrides, Log)>,
}

impl fmt::Debug for ReloadDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadDesk").finish_non_exhaustive()
    }
}

impl ReloadDesk {
    /// The desk of a hub that starts with `config`.
    pub(super) fn new(
        config: &HubConfig,
        limits: LiveLimits,
        money: LiveMoney,
        hook: LiveWebhook,
        certificate: UsersCertificate,
    ) -> Self {
        let running = Mutex::new(config.clone());
        Self { running, limits, money, hook, certificate, process: OnceLock::new() }
    }

    /// What the process brings; the first word counts.
    pub(super) fn process(&self, overrides: Overrides, log: Log) {
        drop(self.process.set((overrides, log)));
    }

    /// What a SIGHUP does: nobody waits for the answer, so it is logged.
    pub(super) fn on_signal(&self) {
        if let Err(refused) = self.reload() {
            tracing::error!(
                error = &refused as &dyn std::error::Error,
                "reload refused; everything stays as it was"
            );
        }
    }
}

impl Reloads for ReloadDesk {
    fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let process = self.process.get();
        let flags = process.map_or_else(Overrides::default, |(flags, _)| flags.clone());
        let read = HubConfig::load(&running.data, &flags)?;
        let next = running.with_live_of(&read);

        // Everything that can be refused, before anything is in force.
        Log::check(&read.log)?;
        let certificate = self.certificate.read(&next)?;
        let until = certificate.until();
        // The secret's file is read even where its name is the same: it may have been changed.
        let hook =
            webhook::open(&next).map_err(|refused| ReloadRefused::Webhook(refused.into()))?;

        let changed = changes(&running, &read);
        if let Some((_, log)) = process {
            log.set_level(&next.log)?;
        }
        self.certificate.put_in_force(certificate);
        self.limits.replace(next.limits.clone());
        self.money.replace(next.money.clone());
        self.hook.replace(hook);
        *running = next;
        let (changed, restart): (Vec<_>, Vec<_>) = changed.into_iter().partition(|one| one.live);
        for change in &changed {
            tracing::info!(key = change.key, from = change.from, to = change.to, "setting changed");
        }
        for change in &restart {
            tracing::warn!(key = change.key, "setting changed in the file: it wants a restart");
        }
        tracing::info!(
            changed = changed.len(),
            restart = restart.len(),
            users_certificate_until = until,
            "settings and certificate read again"
        );
        Ok(Reloaded { changed, restart, users_certificate_until: until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;
    use weft_certs::Authority;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::HubId;
    use weft_proto::time::SystemClock;

    fn write(data: &Path, text: &str) {
        std::fs::write(data.join(crate::config::CONFIG_FILE), text).unwrap();
    }

    #[test]
    fn a_reload_takes_what_it_can_tells_what_waits_and_refuses_a_bad_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let entropy = SeededEntropy::new(1);
        let hub = HubId::generate(&SystemClock, &entropy);
        let certs = data.join(super::super::CERTS_DIR);
        let authority = Authority::create(&certs, hub, &[], &SystemClock, &entropy).unwrap();
        write(data, "");
        let config = HubConfig::load(data, &Overrides::default()).unwrap();
        let limits = LiveLimits::new(config.limits.clone());
        let certificate = UsersCertificate::new(Arc::new(authority), &config).unwrap();
        let money = LiveMoney::new(config.money.clone());
        let hook = LiveWebhook::new(None);
        let desk =
            ReloadDesk::new(&config, limits.clone(), money.clone(), hook.clone(), certificate);

        let keys = |changes: &[crate::config::Change]| {
            changes.iter().map(|change| change.key.clone()).collect::<Vec<_>>()
        };
        write(data, "[money]\nlease = \"3.00\"\ncharging = false\n");
        let paid = desk.reload().unwrap();
        assert_eq!(keys(&paid.changed), ["money.lease"]);
        assert_eq!(keys(&paid.restart), ["money.charging"]);
        assert_eq!(
            (money.now().lease.to_string(), money.now().charging),
            ("3.00".to_owned(), true)
        );
        write(data, "");
        desk.reload().unwrap();

        write(data, "[webhook]\nurl = \"https://example.com/\"\n");
        assert_eq!(keys(&desk.reload().unwrap().changed), ["webhook.url"]);
        assert!(hook.now().is_some());
        write(data, "");
        desk.reload().unwrap();
        assert!(hook.now().is_none());

        write(data, "[limits]\nexchanges_max = 7\nconnections_max = 9\n");
        let first = desk.reload().unwrap();
        assert_eq!(keys(&first.changed), ["limits.exchanges_max"]);
        assert_eq!(keys(&first.restart), ["limits.connections_max"]);
        assert_eq!(limits.now().exchanges_max, 7);
        assert_eq!(limits.now().connections_max, config.limits.connections_max);

        // What waits for a restart is told each time; what is in force is no change any more.
        let again = desk.reload().unwrap();
        assert_eq!((again.changed.len(), keys(&again.restart)), (0, keys(&first.restart)));

        for bad in [
            "[limits]\nexchanges_max = 8\nbody_bytes_max = 0\n",
            "[limits]\nexchanges_max = 8\n[log]\nlevel = \"=\"\n",
            "[limits]\nexchanges_max = 8\n[users]\ncertificate = { chain = \"x\", key = \"y\" }\n",
            "[limits]\nexchanges_max = 8\nunheard_of = 1\n",
            "[limits]\nexchanges_max = 8\n[webhook]\nurl = \"http://example.com/\"\n",
            "[limits]\nexchanges_max = 8\n[webhook]\nurl = \"https://h/\"\nsecret = \"none\"\n",
            "[limits\n",
        ] {
            write(data, bad);
            let refused = desk.reload().unwrap_err();
            assert!(!refused.to_string().is_empty());
            assert_eq!(limits.now().exchanges_max, 7, "{bad:?}");
        }
        write(data, "");
        assert_eq!(keys(&desk.reload().unwrap().changed), ["limits.exchanges_max"]);
        assert_eq!(limits.now().exchanges_max, config.limits.exchanges_max);
    }
}
