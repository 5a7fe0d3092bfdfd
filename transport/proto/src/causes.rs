//! Errors as people read them: what happened, and why, on one line.

use std::error::Error;

/// An error and its causes, divided by colons. Our errors do not repeat their cause in their own
/// text, so nothing is said twice.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn every_cause_is_told_once_the_nearest_first() {
        let error =
            Told("no tunnel", Some(Box::new(Told("no route", Some(Box::new(Told("down", None)))))));
        assert_eq!(causes(&error), "no tunnel: no route: down");
        assert_eq!(causes(&Told("alone", None)), "alone");
    }
}
