//! The model that a query names, for the routes that have no body to name it in.
//!
//! Servers differ in which of two parameters they take, and in how they decode a name, so a query
//! that leaves either open is refused. What is accepted is one plain text for everybody.

use super::is_parameter;
use crate::tables::target::Target;

/// The parameters that name a model or, at Azure, its deployment.
const MODEL_PARAMETERS: [&str; 2] = ["model", "deployment"];

/// Parameters that join a session that somebody else may have begun.
const FOREIGN_PARAMETERS: [&str; 1] = ["call_id"];

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum QueryRefused {
    /// `model` and `deployment` together stand in it more than once.
    #[error("the query names the model twice")]
    Twice,
    /// A name or value that parsers read differently, or that is no name of a model.
    #[error("the query must name the model once, as plain `model=` or `deployment=`")]
    NotPlain,
    /// It would join a session that another request has begun.
    #[error("sessions that another request has begun are not available through this hub")]
    Foreign,
}

/// The model or deployment that the query of `target` names, if any.
///
/// # Errors
/// [`QueryRefused`] where two servers could read two models, or where it joins a foreign session.
pub fn named_in_query(target: &Target) -> Result<Option<&str>, QueryRefused> {
    let mut found = None;
    let query = target.query().unwrap_or_default();
    // Both begin a parameter for some servers.
    if query.contains([';', '?']) {
        return Err(QueryRefused::NotPlain);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // An encoded name, and one in square brackets, is the plain one to some servers.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(QueryRefused::NotPlain);
        }
        if FOREIGN_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return Err(QueryRefused::Foreign);
        }
        if !MODEL_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        if !MODEL_PARAMETERS.contains(&name) || !is_parameter(value) {
            return Err(QueryRefused::NotPlain);
        }
        if found.replace(value).is_some() {
            return Err(QueryRefused::Twice);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query: &str) -> Result<Option<String>, QueryRefused> {
        let target = Target::parse(&format!("/v1/realtime{query}")).expect("a target");
        named_in_query(&target).map(|name| name.map(str::to_owned))
    }

    #[test]
    fn a_query_names_its_model_once_and_plainly() {
        for (query, wanted) in [
            ("?model=gpt-realtime", Some("gpt-realtime")),
            ("?api-version=2024-10-01-preview&deployment=my_rt.1", Some("my_rt.1")),
            ("?intent=transcription", None),
            ("?models=x", None),
            ("?", None),
            ("", None),
        ] {
            assert_eq!(named(query), Ok(wanted.map(str::to_owned)), "{query}");
        }
    }

    #[test]
    fn a_query_that_two_servers_could_read_differently_is_refused() {
        for (query, wanted) in [
            ("?model=a&model=b", QueryRefused::Twice),
            ("?model=a&model=a", QueryRefused::Twice),
            ("?deployment=a&model=b", QueryRefused::Twice),
            ("?model=", QueryRefused::NotPlain),
            ("?model", QueryRefused::NotPlain),
            ("?Model=a", QueryRefused::NotPlain),
            ("?model=a%2Db", QueryRefused::NotPlain),
            ("?model=a+b", QueryRefused::NotPlain),
            ("?mod%65l=a", QueryRefused::NotPlain),
            ("?model[]=a", QueryRefused::NotPlain),
            ("?x=1;model=a", QueryRefused::NotPlain),
            ("?model=a;b", QueryRefused::NotPlain),
            ("?model=a&call_id=rtc_1", QueryRefused::Foreign),
            ("?Call_Id=rtc_1", QueryRefused::Foreign),
        ] {
            // Some of these never become a target at all, which is as good.
            let Ok(target) = Target::parse(&format!("/v1/realtime{query}")) else { continue };
            assert_eq!(named_in_query(&target), Err(wanted), "{query}");
        }
    }
}
