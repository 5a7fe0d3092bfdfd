//! Where a provider's key is not: nowhere at the hub. And what the shipped agent refuses.

use crate::talk::*;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::secret;
use weft_loadtest::mesh::{Agent, Version};
use weft_proto::provider::Provider;

/// Bytes of memory looked at in one read.
const WINDOW: usize = 1 << 20;

/// Whether the process has `needle` anywhere in memory that it can write to. Its own copy is asked
/// for in pieces, so that a child does not find the needle of its parent.
fn in_memory(process: u32, needle: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("the maps");
    let mut memory = File::open(format!("/proc/{process}/mem")).expect("the memory");
    let (mut looked_at, mut window) = (0_u64, vec![0; WINDOW + needle.len()]);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next().unwrap(), words.next().unwrap());
        if !mode.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while at < to {
            let want = window.len().min(usize::try_from(to - at).unwrap());
            if memory.seek(SeekFrom::Start(at)).is_err() {
                break;
            }
            let Ok(read) = memory.read(&mut window[..want]) else { break };
            if read == 0 {
                break;
            }
            looked_at += read as u64;
            if memchr::memmem::find(&window[..read], needle).is_some() {
                return true;
            }
            at += if read > needle.len() { (read - needle.len()) as u64 } else { read as u64 };
        }
    }
    assert!(looked_at > 1 << 20, "only {looked_at} bytes of the process could be read");
    false
}

fn files_below(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_provider_key_is_anywhere_at_the_hub() {
    let mut world = world().await;
    let provoked = ["", "401", "429", "fault=cut", "reset-head"];
    for control in provoked {
        for ask in [Ask::chat(&world, true, control), Ask::message(&world, true, control)] {
            drop(ask.over(&world, Version::H2).await);
        }
    }
    let mut files = vec![world.hub_log()];
    files_below(world.hub.data(), &mut files);
    assert!(files.iter().any(|path| path.extension().is_some_and(|kind| kind == "sqlite")));
    let process = world.hub.process().id();
    // The search itself works: the hub knows its own directory.
    assert!(in_memory(process, world.hub.data().to_string_lossy().as_bytes()));
    for provider in Provider::ALL {
        let key = secret(provider);
        // A fragment of eight is already too much.
        for part in [&key[..], &key[key.len() - 12..]] {
            for path in &files {
                let bytes = fs::read(path).unwrap();
                let there = memchr::memmem::find(&bytes, part.as_bytes()).is_some();
                assert!(!there, "{} has a key of {provider}", path.display());
            }
            assert!(
                !in_memory(process, part.as_bytes()),
                "the hub's memory has a key of {provider}"
            );
        }
    }
    // Users' keys are kept as hashes alone.
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let there = memchr::memmem::find(&bytes, world.key.secret.as_bytes()).is_some();
        assert!(!there, "{} has a user's key", path.display());
    }
    // At the agent it is encrypted at rest.
    let mut files = Vec::new();
    files_below(world.agents[0].agent.data(), &mut files);
    files.push(world.agents[0].process.log().to_owned());
    for path in files {
        let bytes = fs::read(&path).unwrap();
        for provider in Provider::ALL {
            let there = memchr::memmem::find(&bytes, secret(provider).as_bytes()).is_some();
            assert!(!there, "{} has a key of {provider}", path.display());
        }
    }
    world.end().await.unwrap();
}

/// The inodes of the sockets that a process has open.
fn sockets_of(process: u32) -> Vec<String> {
    let folder = format!("/proc/{process}/fd");
    let links =
        fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| {
            let text = link.to_string_lossy().into_owned();
            Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

/// The lines of `/proc/net/TABLE` that belong to a process, and among them those in `state`.
fn in_table(process: u32, table: &str, state: Option<&str>) -> Vec<String> {
    let inodes = sockets_of(process);
    let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
    let lines = text.lines().skip(1).filter(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        inodes.iter().any(|inode| words.get(9) == Some(&inode.as_str()))
            && state.is_none_or(|state| words.get(3) == Some(&state))
    });
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_agent_joins_listens_nowhere_and_simulates_nothing() {
    let mut world = world().await;
    let program = world.binaries().agent();
    let invite = world.hub.invite("owner").unwrap();
    let agent = Agent::join(&program, &world.dir().join("real"), "real", &invite).unwrap();
    agent.add_account(Provider::OpenAi, "main", &secret(Provider::OpenAi), &[]).unwrap();
    let log = world.dir().join("real.log");
    let mut process = agent.run(&[], &[("HTTPS_PROXY", "http://127.0.0.1:1")], &log).unwrap();
    world.hub.offers(5).await.unwrap();
    process.check().unwrap();
    const LISTEN: &str = "0A";
    for table in ["tcp", "tcp6"] {
        let listening = in_table(process.id(), table, Some(LISTEN));
        assert!(listening.is_empty(), "{table}: {listening:?}");
    }
    let udp: usize =
        ["udp", "udp6"].iter().map(|table| in_table(process.id(), table, None).len()).sum();
    assert!((1..=2).contains(&udp), "{udp} UDP sockets: one is for the tunnel");
    // The search itself works: the hub does listen.
    assert!(!in_table(world.hub.process().id(), "tcp", Some(LISTEN)).is_empty());
    process.end(Duration::from_secs(5)).await.unwrap();

    for words in [
        &["run", "--simulate", "openai=http://127.0.0.1:4010"][..],
        &["--simulate", "openai=http://127.0.0.1:4010", "run"],
        &["run", "--host", "127.0.0.1:4010"],
        &["run", "--base-url", "http://127.0.0.1:4010"],
    ] {
        let mut run = command(&program);
        run.args(words).arg("--data").arg(world.dir().join("real"));
        assert!(answer(run, "").is_err(), "{words:?}");
    }
    let mut version = command(&world.binaries().agent_sim());
    version.arg("--version");
    assert!(answer(version, "").unwrap().contains("simulated"));
    let log = fs::read_to_string(world.agents[0].process.log()).unwrap();
    assert!(log.contains("SIMULATED"), "{log}");
    world.end().await.unwrap();
}
