//! An account's own proxy is the only way to its provider.
