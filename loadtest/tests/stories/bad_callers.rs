//! Callers that ask too much, too slowly or with the wrong keys.
