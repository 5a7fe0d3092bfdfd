//! What the machine gives: descriptors, UDP buffers, memory, free ports.

use super::{Finding, Subject};
use rustix::process::{Resource, getrlimit};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use weft_transport::endpoint::bind_udp;

/// Descriptors beside those of users' connections: listeners, database, admin door, log.
const DESCRIPTORS_BESIDE: u64 = 256;
/// UDP buffers below which bursts of many agents are lost, bytes. The hub asks for 8 MiB.
const UDP_BUFFER_BYTES_WARN: usize = 2 * 1024 * 1024;
/// Share of the machine's memory that the budget of buffers should leave to all else, percent.
const MEMORY_PERCENT_WARN: u64 = 75;

const DESCRIPTORS: &str = "descriptors";
const UDP: &str = "UDP buffers";
const MEMORY: &str = "memory";
const PORTS: &str = "ports";

/// All of them.
pub(super) fn look(subject: &Subject) -> Vec<Finding> {
    let mut found = vec![descriptors(subject), udp_buffers(), memory(subject)];
    found.extend(ports(subject));
    found
}

fn descriptors(subject: &Subject) -> Finding {
    let wanted = subject.config.limits.connections_max as u64 + DESCRIPTORS_BESIDE;
    let running = subject.process().and_then(limit_of);
    let (whose, limit) = match running {
        Some(limit) => ("the running hub", limit),
        None => ("this shell", getrlimit(Resource::Nofile).current),
    };
    let open = subject
        .process()
        .and_then(open_in)
        .map_or_else(String::new, |open| format!(", {open} of them open"));
    match limit {
        Some(limit) if limit < wanted => Finding::warn(
            DESCRIPTORS,
            format!("{whose} may open {limit} files{open}; connections_max wants {wanted}"),
            "raise LimitNOFILE of the unit (or ulimit -n), or lower limits.connections_max",
        ),
        Some(limit) => Finding::ok(DESCRIPTORS, format!("{whose} may open {limit} files{open}")),
        None => Finding::ok(DESCRIPTORS, format!("{whose} has no limit of open files{open}")),
    }
}

/// The soft limit of open files of a process; the inner `None` is "unlimited".
fn limit_of(process: u32) -> Option<Option<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(None) } else { soft.parse().ok().map(Some) }
}

fn open_in(process: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count())
}

fn udp_buffers() -> Finding {
    let remedy = "sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608, then restart";
    match bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) {
        Ok((_, got)) => {
            let seen = format!(
                "{} KiB to receive, {} KiB to send, of 8,192 KiB asked",
                got.receive / 1024,
                got.send / 1024
            );
            if got.receive.min(got.send) < UDP_BUFFER_BYTES_WARN {
                Finding::warn(UDP, seen, remedy)
            } else {
                Finding::ok(UDP, seen)
            }
        }
        Err(error) => Finding::fail(UDP, format!("no UDP socket: {error}"), remedy),
    }
}

fn memory(subject: &Subject) -> Finding {
    let budget = subject.config.limits.memory_bytes_max;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let Some(machine) = machine_bytes() else {
        return Finding::ok(MEMORY, format!("{} MiB of buffers at most", mib(budget)));
    };
    let seen = format!("{} MiB of buffers at most, of {} MiB", mib(budget), mib(machine));
    let remedy = "lower limits.memory_bytes_max, or give the hub more memory";
    if budget >= machine {
        Finding::fail(MEMORY, seen, remedy)
    } else if budget / MEMORY_PERCENT_WARN > machine / 100 {
        Finding::warn(MEMORY, seen, remedy)
    } else {
        Finding::ok(MEMORY, seen)
    }
}

/// What the machine has, or the container that this runs in.
fn machine_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    Some(group.map_or(total, |group: u64| group.min(total)))
}

fn ports(subject: &Subject) -> Vec<Finding> {
    if subject.holder.is_some() {
        return vec![match &subject.addresses {
            Some(doors) => {
                let list = |doors: &[SocketAddr]| {
                    doors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                };
                let (users, agents) = (list(&doors.users), list(&doors.agents));
                let admin = doors.admin;
                let saw = format!("users {users}; agents {agents} (UDP); admin {admin}");
                Finding::ok(PORTS, format!("held by the running hub: {saw}"))
            }
            None => Finding::warn(
                PORTS,
                "a hub runs and has not said where its doors are",
                "wait until it is up; its log says what it waits for",
            ),
        }];
    }
    let config = &subject.config;
    let mut found = Vec::new();
    for &address in config.users.addresses.iter().chain([&config.admin.address]) {
        found.push(port("TCP", address, TcpListener::bind(address).map(drop)));
    }
    let users = config.users.addresses.iter().filter(|_| config.users.h3);
    for &address in users.chain(&config.agents.addresses) {
        found.push(port("UDP", address, UdpSocket::bind(address).map(drop)));
    }
    found
}

fn port(kind: &str, address: SocketAddr, bound: std::io::Result<()>) -> Finding {
    match bound {
        Ok(()) => Finding::ok(PORTS, format!("{kind} {address} is free")),
        Err(error) => Finding::fail(
            PORTS,
            format!("{kind} {address}: {error}"),
            "end what holds it (ss -lntup), or give the door another address in hub.toml",
        ),
    }
}
