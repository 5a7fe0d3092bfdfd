//! Looks at an authority's folder without changing anything in it.
//!
//! [`Authority::open`] mends what it may mend; this only tells. Every certificate is looked at, and
//! what is wrong with one hides nothing about the others. Calls block.

use super::slot::{AGENT_CA, NEXT_NODE_CA, NODE, NODE_CA, Record, Slot, USERS, USERS_CA};
use super::{Authority, AuthorityError, parse_names};
use crate::disk::FileError;
use crate::names::HostName;
use crate::pin::Pins;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::Path;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use weft_proto::causes::causes;
use weft_proto::ids::HubId;
use weft_proto::time::Timestamp;

/// What lies in an authority's folder.
#[derive(Debug)]
pub struct Audit {
    /// The hub's id.
    pub hub: HubId,
    /// The names of the users' door.
    pub names: Vec<HostName>,
    /// What agents pin; `None` where a node-issuing authority's certificate cannot be read.
    pub pins: Option<Pins>,
    /// Whether the next node-issuing authority's key lies here and not offline.
    pub next_key_is_here: bool,
    /// Every certificate, authorities first.
    pub certificates: Vec<Audited>,
}

/// One certificate of the folder.
#[derive(Debug)]
pub struct Audited {
    /// The name of its file.
    pub file: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether a running hub makes it anew by itself.
    pub renews_itself: bool,
    /// From when to when it is valid; `None` where it cannot be read.
    pub valid: Option<(Timestamp, Timestamp)>,
    /// What is wrong with it, whatever the time is.
    pub fault: Option<String>,
}

impl Authority {
    /// Looks at the authority under `dir`, and changes nothing.
    ///
    /// # Errors
    /// [`AuthorityError`] where there is none, or its record cannot be read.
    pub fn audit(dir: &Path) -> Result<Audit, AuthorityError> {
        let Record { hub, names, .. } = Record::load(dir)?;
        let names = parse_names(&names)?;
        let pin = |slot: Slot| slot.load_cert(dir).and_then(|cert| slot.spki(dir, &cert)).ok();
        let pins = pin(NODE_CA).zip(pin(NEXT_NODE_CA));
        let next_key_is_here = dir.join(NEXT_NODE_CA.key).try_exists().unwrap_or(true);
        let mut certificates = Vec::new();
        for (slot, purpose) in [
            (NODE_CA, "issues node certificates; pinned by agents"),
            (NEXT_NODE_CA, "the next node authority; pinned by agents"),
            (AGENT_CA, "issues agent certificates"),
            (USERS_CA, "issues the users' door's certificate; trusted by users"),
        ] {
            // The next authority's key belongs offline: without it, its certificate stands alone.
            let keyed = slot.key != NEXT_NODE_CA.key || next_key_is_here;
            certificates.push(audited(dir, slot, purpose, keyed, bound));
        }
        let leaves = [
            (NODE, NODE_CA, "shown to agents", Vec::new()),
            (USERS, USERS_CA, "shown to users", names.clone()),
        ];
        for (slot, issuer, purpose, names) in leaves {
            certificates.push(Audited {
                renews_itself: true,
                ..audited(dir, slot, purpose, true, |cert| issued(dir, issuer, cert, &names))
            });
        }
        let pins = pins.map(|(current, next)| Pins { current, next });
        Ok(Audit { hub, names, pins, next_key_is_here, certificates })
    }
}

fn audited(
    dir: &Path,
    slot: Slot,
    purpose: &'static str,
    keyed: bool,
    check: impl FnOnce(&CertificateDer<'_>) -> Option<String>,
) -> Audited {
    let told = |error: AuthorityError| Some(causes(&error));
    let mut audited =
        Audited { file: slot.cert, purpose, renews_itself: false, valid: None, fault: None };
    let cert = match slot.load_cert(dir) {
        Ok(cert) => cert,
        Err(error) => return Audited { fault: told(error.into()), ..audited },
    };
    audited.valid = dates(&cert);
    audited.fault = if audited.valid.is_none() {
        let error = FileError::damaged(&dir.join(slot.cert), "it is not a certificate");
        told(error.into())
    } else if keyed && let Err(error) = slot.load(dir) {
        told(error)
    } else {
        check(&cert)
    };
    audited
}

fn dates(cert: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, cert) = x509_parser::parse_x509_certificate(cert).ok()?;
    let second = |secs: i64| u64::try_from(secs).ok().map(Timestamp::from_secs);
    let validity = cert.validity();
    second(validity.not_before.timestamp()).zip(second(validity.not_after.timestamp()))
}

/// An authority of ours is bound to the names that it is for.
fn bound(cert: &CertificateDer<'_>) -> Option<String> {
    let constrained = x509_parser::parse_x509_certificate(cert)
        .ok()
        .and_then(|(_, cert)| cert.name_constraints().ok().flatten().map(|found| found.critical));
    match constrained {
        Some(true) => None,
        Some(false) | None => Some("it is not bound to names: it could vouch for any".to_owned()),
    }
}

/// A leaf of ours is signed by the authority beside it, and for exactly its names.
fn issued(
    dir: &Path,
    issuer: Slot,
    cert: &CertificateDer<'_>,
    names: &[HostName],
) -> Option<String> {
    let issuer_file = issuer.cert;
    let Ok(issuer) = issuer.load_cert(dir) else {
        return Some(format!("its issuer, {issuer_file}, cannot be read"));
    };
    let refused =
        |reason: webpki::Error| Some(format!("not accepted under {issuer_file}: {reason:?}"));
    let leaf = match EndEntityCert::try_from(cert) {
        Ok(leaf) => leaf,
        Err(reason) => return refused(reason),
    };
    let anchor = match webpki::anchor_from_trusted_cert(&issuer) {
        Ok(anchor) => anchor,
        Err(reason) => return refused(reason),
    };
    // At a moment inside of its own dates: the clock is judged elsewhere.
    let moment = dates(cert).map_or(0, |(from, _)| from.as_secs());
    let verified = leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        std::slice::from_ref(&anchor),
        &[],
        UnixTime::since_unix_epoch(Duration::from_secs(moment)),
        KeyUsage::server_auth(),
        None,
        None,
    );
    if let Err(reason) = verified.map(drop) {
        return refused(reason);
    }
    names.iter().find_map(|name| {
        let text = name.to_string();
        let named = ServerName::try_from(text.as_str()).ok();
        let covered =
            named.is_some_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
        (!covered).then(|| format!("it does not name {text}"))
    })
}
