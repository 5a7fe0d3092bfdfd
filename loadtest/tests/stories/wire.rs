//! What somebody between agent and hub sees: datagrams, and nothing that can be read in them.

use crate::talk::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use weft_certs::Invite;
use weft_loadtest::mesh::world::{Plan, secret};
use weft_loadtest::mesh::{Agent, Version};
use weft_proto::provider::Provider;

/// Longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Carries datagrams between agents and a hub, and keeps a copy of each.
struct Relay {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn to(hub: SocketAddr) -> Self {
        let door = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = door.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let copies = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ways = BTreeMap::<SocketAddr, Arc<UdpSocket>>::new();
            let mut back = JoinSet::new();
            let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
            loop {
                let (bytes, from) = door.recv_from(&mut datagram).await.unwrap();
                copies.lock().unwrap().push(datagram[..bytes].to_vec());
                if let Entry::Vacant(place) = ways.entry(from) {
                    let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                    way.connect(hub).await.unwrap();
                    place.insert(Arc::clone(&way));
                    let (door, copies) = (Arc::clone(&door), Arc::clone(&copies));
                    back.spawn(async move {
                        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
                        // A hub that has gone refuses datagrams; that ends this way back.
                        while let Ok(bytes) = way.recv(&mut datagram).await {
                            copies.lock().unwrap().push(datagram[..bytes].to_vec());
                            drop(door.send_to(&datagram[..bytes], from).await);
                        }
                    });
                }
                drop(ways[&from].send(&datagram[..bytes]).await);
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().concat()
    }
}

/// The same invite, with the relay in the place of the hub.
fn by_way_of(relay: &Relay, invite: &str) -> String {
    let invite: Invite = invite.parse().unwrap();
    let address = relay.address.to_string().parse().unwrap();
    let token = weft_certs::Token::from_slice(invite.token().expose()).unwrap();
    Invite::new(invite.hub(), vec![address], invite.pins(), token, invite.expiry())
        .unwrap()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_key_nor_a_word_can_be_read_off_the_wire() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let relay = Relay::to(world.hub.agents()).await;
    let invite = by_way_of(&relay, &world.hub.invite("owner").unwrap());
    let program = world.binaries().agent_sim();
    let agent = Agent::join(&program, &world.dir().join("far"), "far", &invite).unwrap();
    let key = secret(Provider::OpenAi);
    agent.add_account(Provider::OpenAi, "main", &key, &[]).unwrap();
    let simulate = ["--simulate".to_owned(), format!("openai={}", world.provider.url())];
    let mut process = agent.run(&simulate, &[], &world.dir().join("far.log")).unwrap();
    world.hub.offers(1).await.unwrap();

    let before = relay.bytes().len();
    let ask = Ask::chat(&world, true, "deltas=64");
    let answer = ask.over(&world, Version::H1).await;
    let seen = relay.bytes();
    // The search itself works: the exchange went this way, and its bytes are known at both ends.
    let carried = seen.len() - before;
    assert!(carried > answer.body.len(), "only {carried} bytes went by");
    assert!(!answer.body.is_empty());
    let text = String::from_utf8_lossy(&answer.body);
    let word = text.lines().find(|line| line.len() > 40).expect("an event of the answer");
    for (what, needle) in [
        ("the provider's key", key.as_bytes()),
        ("a part of the provider's key", &key.as_bytes()[key.len() - 8..]),
        ("the user's key", world.key.secret.as_bytes()),
        ("the prompt", "Say what a weft is".as_bytes()),
        ("the path", b"/v1/chat/completions"),
        ("the answer", &word.as_bytes()[..24]),
        ("the token of the invite", invite.parse::<Invite>().unwrap().token().expose()),
    ] {
        assert!(memchr::memmem::find(&seen, needle).is_none(), "{what} can be read");
    }
    process.kill();
    world.end().await.unwrap();
}
