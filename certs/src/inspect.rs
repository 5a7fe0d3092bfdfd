//! Certificates told to people and scripts: what `weft-certs inspect` prints.
//!
//! Reads and reports; verifies nothing, and never looks at a private key.

use crate::disk::{self, FileError};
use crate::pin::SpkiHash;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};

/// What one certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CertSummary {
    /// Whom it names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its subject alternative names, each with its kind: `dns:…`, `ip:…`, `uri:…`.
    pub names: Vec<String>,
    /// What its key may be used for in TLS: `serverAuth`, `clientAuth`, or a dotted OID.
    pub usages: Vec<String>,
    /// Whether it is an authority's.
    pub authority: bool,
    /// From when it is valid, in RFC 3339.
    pub not_before: String,
    /// Until when it is valid, in RFC 3339.
    pub not_after: String,
    /// The hash of its public key: for a node-issuing authority, its pin.
    pub spki: SpkiHash,
}

/// Reads what each certificate of a PEM file says. Blocks.
///
/// # Errors
/// [`FileError`] where the file cannot be read or holds something that is not a certificate.
pub fn summaries(path: &Path) -> Result<Vec<CertSummary>, FileError> {
    let damaged = || FileError::damaged(path, "it holds something that is not a certificate");
    disk::read_certs(path)?
        .iter()
        .map(|cert| {
            let (_, parsed) = x509_parser::parse_x509_certificate(cert).map_err(|_| damaged())?;
            summary(&parsed).ok_or_else(damaged)
        })
        .collect()
}

impl fmt::Display for CertSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subject    {}", self.subject)?;
        writeln!(f, "issuer     {}", self.issuer)?;
        writeln!(f, "authority  {}", if self.authority { "yes" } else { "no" })?;
        writeln!(f, "names      {}", list(&self.names))?;
        writeln!(f, "usages     {}", list(&self.usages))?;
        writeln!(f, "valid      {} to {}", self.not_before, self.not_after)?;
        write!(f, "spki       {}", self.spki)
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn summary(cert: &X509Certificate<'_>) -> Option<CertSummary> {
    let names = cert.subject_alternative_name().ok()?;
    let usages = cert.extended_key_usage().ok()?;
    Some(CertSummary {
        subject: cert.subject().to_string(),
        issuer: cert.issuer().to_string(),
        names: names.map_or_else(Vec::new, |names| {
            names.value.general_names.iter().map(name_text).collect()
        }),
        usages: usages.map_or_else(Vec::new, |usages| usage_texts(usages.value)),
        authority: cert.is_ca(),
        not_before: rfc3339(cert.validity().not_before.timestamp())?,
        not_after: rfc3339(cert.validity().not_after.timestamp())?,
        spki: SpkiHash::of_spki(cert.public_key().raw),
    })
}

fn rfc3339(secs: i64) -> Option<String> {
    jiff::Timestamp::from_second(secs).ok().map(|moment| moment.to_string())
}

fn name_text(name: &GeneralName<'_>) -> String {
    if let GeneralName::DNSName(name) = name {
        return format!("dns:{}", name.escape_default());
    }
    if let GeneralName::URI(uri) = name {
        return format!("uri:{}", uri.escape_default());
    }
    if let GeneralName::IPAddress(bytes) = name {
        let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
        let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
        if let Ok(address) = v4.or(v6) {
            return format!("ip:{address}");
        }
    }
    "other".to_owned()
}

fn usage_texts(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    [
        (usage.any, "any"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ]
    .into_iter()
    .filter(|(present, _)| *present)
    .map(|(_, name)| name.to_owned())
    .chain(usage.other.iter().map(ToString::to_string))
    .collect()
}
