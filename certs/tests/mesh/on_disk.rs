//! The authority's folder and the agent's files: modes, renewal, damage.

use crate::world::{World, read_chain};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use weft_certs::{
    AGENT_LIFETIME, AgentChain, AgentIdentity, AgentKey, Authority, AuthorityError, CsrError,
    FileError, HUB_LEAF_LIFETIME, IdentityError, ProvenKey, SignError, summaries,
};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AgentId, HubId};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open(world: &World) -> Result<Authority, AuthorityError> {
    Authority::open(&world.dir(), &*world.clock)
}

#[test]
fn keys_are_for_the_owner_alone_and_no_partial_file_is_left() {
    let world = World::new();
    assert_eq!(mode(&world.dir()), 0o700);
    let mut keys = 0;
    for entry in fs::read_dir(world.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.starts_with('.'), "{name}");
        let secret = fs::read_to_string(&path).unwrap().contains("PRIVATE KEY");
        assert_eq!(secret, name.ends_with(".key"), "{name}");
        if secret {
            assert_eq!(mode(&path), 0o600, "{name}");
            keys += 1;
        }
    }
    assert_eq!(keys, 6);
}

#[test]
fn a_second_authority_is_not_made_over_the_first() {
    let world = World::new();
    let before = fs::read(world.dir().join("node-ca.key")).unwrap();
    let hub = HubId::generate(&*world.clock, &OsEntropy);
    let again = Authority::create(&world.dir(), hub, &[], &*world.clock, &OsEntropy);
    assert!(matches!(again, Err(AuthorityError::Exists { .. })));
    assert_eq!(fs::read(world.dir().join("node-ca.key")).unwrap(), before);
}

#[test]
fn the_authority_opens_the_same_without_the_next_key() {
    let world = World::new();
    fs::remove_file(world.authority.next_key_path()).unwrap();
    let opened = open(&world).unwrap();
    assert_eq!(opened.pins(), world.authority.pins());
    assert_eq!(opened.hub(), world.hub());
    assert_eq!(opened.names(), world.authority.names());
    let refused = Authority::rotate_node_ca(&world.dir(), &*world.clock, &OsEntropy).unwrap_err();
    assert!(matches!(refused, AuthorityError::NextKeyAway { .. }));
    assert!(refused.to_string().contains("bring it back"), "{refused}");
    assert_eq!(open(&world).unwrap().pins(), world.authority.pins(), "nothing was changed");
}

#[test]
fn leaves_are_renewed_in_the_last_third_of_their_life_and_not_before() {
    let world = World::new();
    let leaves = || ["node.pem", "users.pem"].map(|name| fs::read(world.dir().join(name)).unwrap());
    let first = leaves();
    world.clock.advance(HUB_LEAF_LIFETIME / 3 * 2 - Duration::from_secs(60));
    open(&world).unwrap();
    assert_eq!(leaves(), first);
    world.clock.advance(Duration::from_secs(120));
    let pins = open(&world).unwrap().pins();
    let second = leaves();
    assert!(second[0] != first[0] && second[1] != first[1]);
    assert_eq!(pins, world.authority.pins());
    // A leaf that is not there is made again, too.
    fs::remove_file(world.dir().join("node.pem")).unwrap();
    open(&world).unwrap();
    assert_ne!(leaves()[0], second[0]);
}

#[test]
fn an_audit_changes_nothing_and_tells_each_fault_by_its_file() {
    let world = World::new();
    let faults = || {
        let audit = Authority::audit(&world.dir()).unwrap();
        assert_eq!(audit.certificates.len(), 6);
        assert!(audit.next_key_is_here);
        let faulty = audit.certificates.into_iter();
        faulty.filter_map(|one| Some((one.file, one.fault?))).collect::<Vec<_>>()
    };
    assert_eq!(faults(), []);
    assert_eq!(Authority::audit(&world.dir()).unwrap().pins, Some(world.authority.pins()));
    let other = World::new();
    for (foreign, blamed) in [
        ("users.pem", "users.pem"),
        ("node-ca.key", "node-ca.pem"),
        ("agent-ca.pem", "agent-ca.pem"),
        ("node.key", "node.pem"),
    ] {
        let path = world.dir().join(foreign);
        let kept = fs::read(&path).unwrap();
        fs::copy(other.dir().join(foreign), &path).unwrap();
        let found = faults();
        assert!(found.iter().any(|(file, _)| *file == blamed), "{foreign}: {found:?}");
        fs::write(&path, "junk").unwrap();
        let found = faults();
        assert!(found.iter().any(|(file, _)| *file == blamed), "{foreign}: {found:?}");
        assert_eq!(fs::read(&path).unwrap(), b"junk");
        fs::write(&path, kept).unwrap();
    }
    assert_eq!(faults(), []);
}

#[test]
fn every_damaged_file_is_named() {
    let world = World::new();
    for entry in fs::read_dir(world.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "next-node-ca.key" {
            continue;
        }
        let good = fs::read(&path).unwrap();
        for damage in [&b""[..], b"junk", &good[..good.len() / 2], &vec![b'x'; 100_000]] {
            fs::write(&path, damage).unwrap();
            let error = open(&world).unwrap_err();
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&path, pem).unwrap();
        let error = open(&world).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        fs::write(&path, good).unwrap();
        open(&world).unwrap();
    }
}

#[test]
fn a_key_that_others_may_read_is_refused_by_name() {
    let world = World::new();
    let path = world.dir().join("agent-ca.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = open(&world).unwrap_err();
    assert!(matches!(error, AuthorityError::File(FileError::Exposed { mode: 0o640, .. })));
    assert!(error.to_string().contains("agent-ca.key"), "{error}");
}

#[test]
fn a_key_of_another_authority_is_refused_by_name() {
    let (world, other) = (World::new(), World::new());
    fs::copy(other.dir().join("node-ca.key"), world.dir().join("node-ca.key")).unwrap();
    let error = open(&world).unwrap_err();
    assert!(matches!(error, AuthorityError::Mismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("node-ca.key"), "{error}");
}

#[test]
fn an_empty_folder_says_what_to_do() {
    let world = World::new();
    let empty = tempfile::tempdir().unwrap();
    let error = Authority::open(empty.path(), &*world.clock).unwrap_err();
    assert!(matches!(error, AuthorityError::Missing { .. }));
    assert!(error.to_string().contains("weft-hub init"));
}

#[test]
fn an_agents_identity_survives_its_files() {
    let world = World::new();
    let (key, chain) = (world.dir().join("a.key"), world.dir().join("a.pem"));
    world.identity.key().save(&key).unwrap();
    world.identity.chain().save(&chain).unwrap();
    assert_eq!(mode(&key), 0o600);
    let (key, chain) = (AgentKey::load(&key).unwrap(), AgentChain::load(&chain).unwrap());
    let ders = chain.ders().map(<[u8]>::to_vec).collect();
    assert_eq!(AgentChain::from_ders(ders).unwrap(), chain);
    let identity = AgentIdentity::new(key, chain).unwrap();
    assert_eq!(identity.agent(), world.identity.agent());
    assert_eq!(identity.key().spki_hash(), world.identity.key().spki_hash());
}

#[test]
fn a_node_is_not_an_agents_chain() {
    let world = World::new();
    let error = AgentChain::load(&world.dir().join("node.pem")).unwrap_err();
    assert!(error.to_string().contains("node.pem"), "{error}");
    let ders = read_chain(&world.dir().join("users.pem")).iter().map(|c| c.to_vec()).collect();
    assert_eq!(AgentChain::from_ders(ders), Err(IdentityError::NotAnAgent));
    assert_eq!(AgentChain::from_ders(Vec::new()), Err(IdentityError::ChainLength));
    assert_eq!(AgentChain::from_ders(vec![vec![0; 8]; 5]), Err(IdentityError::ChainLength));
    assert_eq!(AgentChain::from_ders(vec![vec![0; 8]]), Err(IdentityError::Malformed));
}

#[test]
fn a_certificate_of_another_key_or_agent_makes_no_identity() {
    let mut world = World::new();
    let other = AgentKey::generate(&OsEntropy);
    let agent = world.identity.agent();
    let sign = |key: &AgentKey, agent| {
        world.authority.sign_agent(&key.csr_der(), agent, &*world.clock).unwrap()
    };
    let foreign = sign(&other, agent);
    let renamed = sign(world.identity.key(), AgentId::generate(&*world.clock, &OsEntropy));
    world.clock.advance(AGENT_LIFETIME);
    let renewed = sign(world.identity.key(), agent);
    let wrong = AgentIdentity::new(AgentKey::generate(&OsEntropy), foreign.clone());
    assert_eq!(wrong.unwrap_err(), IdentityError::WrongKey);
    assert_eq!(world.identity.renew(foreign), Err(IdentityError::WrongKey));
    assert_eq!(world.identity.renew(renamed), Err(IdentityError::NotAnAgent));
    assert!(world.identity.renewal_due(world.now()));
    world.identity.renew(renewed).unwrap();
    assert!(!world.identity.renewal_due(world.now()));
    world.dial(world.tunnel()).both();
}

#[test]
fn a_signing_request_must_be_signed_with_its_own_key() {
    let world = World::new();
    let csr = AgentKey::generate(&OsEntropy).csr_der();
    let refused = |csr: &[u8]| {
        let agent = world.identity.agent();
        match world.authority.sign_agent(csr, agent, &*world.clock).map(drop) {
            Err(SignError::Csr(reason)) => reason,
            other => panic!("wanted a refused request, got {other:?}"),
        }
    };
    assert!(ProvenKey::from_csr(&csr).is_ok());
    for place in 0..csr.len() {
        let mut bad = csr.clone();
        bad[place] ^= 1;
        assert!(
            ProvenKey::from_csr(&bad).is_err(),
            "byte {place} {:02x} of {csr:02x?}",
            csr[place]
        );
    }
    let mut unsigned = csr.clone();
    *unsigned.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&unsigned), CsrError::NotProven);
    assert_eq!(refused(&[csr.as_slice(), &[0]].concat()), CsrError::Malformed);
    assert_eq!(refused(&csr[..csr.len() - 1]), CsrError::Malformed);
    assert_eq!(refused(&vec![0x30; 5_000]), CsrError::TooLong);
    let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = rcgen::CertificateParams::default().serialize_request(&p256).unwrap();
    assert_eq!(refused(other.der()), CsrError::WrongKey);
}

#[test]
fn only_the_key_is_taken_from_a_signing_request() {
    let world = World::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    wish.distinguished_name.push(rcgen::DnType::CommonName, "root");
    wish.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let csr = wish.serialize_request(&key).unwrap();
    let agent = AgentId::generate(&*world.clock, &OsEntropy);
    let chain = world.authority.sign_agent(csr.der(), agent, &*world.clock).unwrap();
    let path = world.dir().join("wish.pem");
    chain.save(&path).unwrap();
    let said = &summaries(&path).unwrap()[0];
    assert_eq!(said.names, [format!("uri:weft:agent:{agent}")]);
    assert_eq!(said.usages, ["clientAuth"]);
    assert_eq!(said.subject, "CN=Weft agent");
    assert!(!said.authority);
}

#[test]
fn no_private_key_shows_in_debug_or_in_an_error() {
    let world = World::new();
    let path = world.dir().join("a.key");
    world.identity.key().save(&path).unwrap();
    let pem = fs::read_to_string(&path).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    let shown = format!("{:?} {:?} {:?}", world.identity, world.identity.key(), world.authority);
    assert!(shown.contains("redacted"), "{shown}");
    for part in [secret, &secret[24..]] {
        assert!(!shown.contains(part));
    }
    fs::write(&path, pem.replacen("MC4C", "MC5C", 1)).unwrap();
    let error = AgentKey::load(&path).unwrap_err();
    assert!(!format!("{error:?} {error}").contains(&secret[24..]));
}
