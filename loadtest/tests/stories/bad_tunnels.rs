//! Strangers, twins and liars at the doors of the tunnels.
