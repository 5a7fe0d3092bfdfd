//! The webhook: where events are posted, and the file of the secret that signs them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who is told of events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// The URL that events are posted to; nobody is told where there is none.
    pub url: Option<String>,
    /// The file whose content signs what is posted; relative paths start at the data directory.
    pub secret: Option<PathBuf>,
}
