//! The ports of the demo: the usual ones where they are free, others where not.

use crate::mesh::Doors;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const USERS_PORT: u16 = 8443;
const AGENTS_PORT: u16 = 7443;
const ADMIN_PORT: u16 = 9443;

/// Where the doors should be, on this machine alone, and the usual ports that are taken. A port of
/// 0 becomes a free one when the hub binds it.
pub(super) fn choose() -> (Doors, Vec<u16>) {
    let mut taken = Vec::new();
    let mut at = |port: u16, is_free: bool| {
        if !is_free {
            taken.push(port);
        }
        SocketAddr::from((Ipv4Addr::LOCALHOST, if is_free { port } else { 0 }))
    };
    let doors = Doors {
        users: at(USERS_PORT, tcp_is_free(USERS_PORT)),
        agents: at(AGENTS_PORT, UdpSocket::bind((Ipv4Addr::LOCALHOST, AGENTS_PORT)).is_ok()),
        admin: at(ADMIN_PORT, tcp_is_free(ADMIN_PORT)),
    };
    (doors, taken)
}

fn tcp_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_has_is_not_chosen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!tcp_is_free(listener.local_addr().unwrap().port()));
        let (doors, taken) = choose();
        for port in taken {
            assert!(
                ![doors.users, doors.agents, doors.admin].iter().any(|door| door.port() == port)
            );
        }
    }
}
