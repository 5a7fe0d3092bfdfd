//! Agents and hubs that go away.
