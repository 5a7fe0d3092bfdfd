//! Makes the webhook of the settings, its URL parsed, its secret read, at the start and at each
//! reload; and tells it of keys that near their limits.

use crate::config::HubConfig;
use crate::ledger::SpendAlert;
use crate::webhook::{InvalidWebhook, Notifier, Webhook, WebhookUrl};
use serde_json::json;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// The longest secret, bytes.
const SECRET_BYTES_MAX: u64 = 1_024;

/// Why there is no webhook although the settings name one.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL is none.
    #[error("setting webhook.url")]
    Url(#[from] InvalidWebhook),
    /// The secret cannot be read.
    #[error("the secret {path} cannot be read")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The secret is no secret.
    #[error("the secret {path} is empty, or can be read by others: want mode 600")]
    Open {
        /// The file.
        path: PathBuf,
    },
}

/// The webhook of the settings, where they name one.
pub(super) fn open(config: &HubConfig) -> Result<Option<Webhook>, WebhookError> {
    let Some(url) = config.webhook.url.as_deref().filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let url: WebhookUrl = url.parse()?;
    let secret = match &config.webhook.secret {
        Some(path) => Some(read(&config.data.join(path))?),
        None => None,
    };
    let secret = secret.as_ref().map(|secret| secret.trim_ascii());
    Ok(Some(Webhook::new(url, secret)?))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, WebhookError> {
    let failed = |source| WebhookError::Secret { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    let mut secret = Zeroizing::new(Vec::new());
    file.take(SECRET_BYTES_MAX).read_to_end(&mut secret).map_err(failed)?;
    if mode & 0o077 != 0 || secret.trim_ascii().is_empty() {
        return Err(WebhookError::Open { path: path.to_owned() });
    }
    Ok(secret)
}

/// Tells of every key that has spent a good part of its limit, until `stop`.
pub(super) async fn tell_of_limits(
    alerts: Option<mpsc::Receiver<SpendAlert>>,
    notifier: Notifier,
    stop: CancellationToken,
) {
    let Some(mut alerts) = alerts else { return };
    loop {
        let alert = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            alert = alerts.recv() => alert,
        };
        let Some(alert) = alert else { return };
        let SpendAlert { user, key, window, percent, spent, limit, at: _ } = alert;
        tracing::info!(%user, %key, window = window.name(), percent, "a key nears its spend limit");
        let (user, key) = (user.to_string(), key.to_string());
        let (spent, limit) = (spent.to_string(), limit.to_string());
        notifier.notify(
            "key.spend_limit",
            json!({
                "user": user, "key": key, "window": window.name(), "percent": percent,
                "spent": spent, "limit": limit,
            }),
        );
    }
}
