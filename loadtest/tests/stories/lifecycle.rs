//! Reload, drain, restart, backup: nothing is lost on the way.
