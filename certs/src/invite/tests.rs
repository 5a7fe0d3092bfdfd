use super::*;
use proptest::prelude::*;

/// Frozen: invites that were handed out must stay readable.
const GOLDEN: &str = "weft-invite-1.AZIMHnuKcACAAAAAAAAAAQAGZRcomIAAERERERERERERERERERERERERERERERERER\
    EREREREREiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIjMzMzMzMzMzMzMzMzMzMzMzMzMzMz\
    MzMzMzMzMzMzMzAhBodWIuZXhhbXBsZTo3NDQzElsyMDAxOmRiODo6MV06NzQ0MzF7WoM37GZX";

fn golden() -> Invite {
    let hub = "01920c1e-7b8a-7000-8000-000000000001".parse().unwrap();
    let pins =
        Pins { current: SpkiHash::from_bytes([0x11; 32]), next: SpkiHash::from_bytes([0x22; 32]) };
    let addresses =
        vec!["hub.example:7443".parse().unwrap(), "[2001:db8::1]:7443".parse().unwrap()];
    let token = Token::from_slice(&[0x33; 32]).unwrap();
    let expiry = Timestamp::from_secs(1_800_000_000);
    Invite::new(hub, addresses, pins, token, expiry).unwrap()
}

#[test]
fn the_text_of_an_invite_is_frozen() {
    assert_eq!(golden().to_string(), GOLDEN);
    assert_eq!(GOLDEN.parse(), Ok(golden()));
    assert_eq!(format!("  {GOLDEN}\n").parse(), Ok(golden()));
}

#[test]
fn debug_of_an_invite_does_not_show_the_token() {
    let shown = format!("{:?}", golden());
    assert!(shown.contains("Token(redacted)"), "{shown}");
    assert!(!shown.contains("51, 51"), "{shown}");
}

#[test]
fn an_invite_holds_until_the_moment_of_its_expiry() {
    let invite = golden();
    let expiry = invite.expiry();
    assert_eq!(invite.check_expiry(Timestamp::from_micros(expiry.as_micros() - 1)), Ok(()));
    assert_eq!(invite.check_expiry(expiry), Err(Expired { at: expiry }));
}

#[test]
fn errors_say_what_is_wrong_with_the_line() {
    let parse = |text: &str| text.parse::<Invite>().unwrap_err();
    assert_eq!(parse(""), InviteError::NotAnInvite);
    assert_eq!(parse("hello"), InviteError::NotAnInvite);
    assert_eq!(parse(&GOLDEN.replace("invite-1.", "invite-2.")), InviteError::Version);
    assert_eq!(parse(HEAD), InviteError::Truncated);
    assert_eq!(parse(&GOLDEN.replacen("ERER", "ER+R", 1)), InviteError::Alphabet);
    assert_eq!(parse(&GOLDEN.replacen("ERER", "ERES", 1)), InviteError::Checksum);
    assert_eq!(parse(&format!("{GOLDEN}AAAA")), InviteError::Checksum);
    assert_eq!(parse(&"x".repeat(MAX_INVITE_LEN + 1)), InviteError::TooLong);
}

#[test]
fn an_invite_cut_anywhere_is_refused_as_cut() {
    for len in HEAD.len()..GOLDEN.len() {
        assert_eq!(GOLDEN[..len].parse::<Invite>(), Err(InviteError::Truncated), "at {len}");
    }
}

#[test]
fn the_longest_invite_fits_its_limit_and_reads_back() {
    let golden = golden();
    let host = "h".repeat(MAX_HUB_ADDRESS_LEN - ":65535".len());
    let address: HubAddress = format!("{host}:65535").parse().unwrap();
    let build = |count| {
        let addresses = vec![address.clone(); count];
        Invite::new(golden.hub, addresses, golden.pins, golden.token.clone(), golden.expiry)
    };
    let longest = build(MAX_INVITE_ADDRESSES).unwrap();
    assert_eq!(longest.to_string().len(), MAX_INVITE_LEN);
    assert_eq!(longest.to_string().parse(), Ok(longest));
    assert_eq!(build(MAX_INVITE_ADDRESSES + 1), Err(InviteError::AddressCount));
    assert_eq!(build(0), Err(InviteError::AddressCount));
}

#[test]
fn addresses_are_host_and_port_in_one_spelling() {
    for good in ["h:1", "127.0.0.1:7443", "hub-1.example:65535", "[::1]:7443"] {
        assert_eq!(good.parse::<HubAddress>().unwrap().to_string(), good);
    }
    assert_eq!("[::1]:7".parse::<HubAddress>().unwrap().host(), "::1");
    for bad in [
        "",
        ":",
        "h",
        "h:",
        ":7443",
        "h:0",
        "h:65536",
        "h:+1",
        "h:01",
        "::1:7443",
        "[h]:1",
        "https://h:1",
        "h/:1",
        "h h:1",
        "hé:1",
        "u@h:1",
    ] {
        assert!(bad.parse::<HubAddress>().is_err(), "{bad:?} was taken");
    }
}

fn any_address() -> impl Strategy<Value = HubAddress> {
    let host = prop_oneof![
        "[a-z0-9][a-z0-9.-]{0,60}",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}").parse().unwrap())
}

fn any_invite() -> impl Strategy<Value = Invite> {
    (
        any::<[u8; 16]>(),
        prop::collection::vec(any_address(), 1..=MAX_INVITE_ADDRESSES),
        any::<([u8; 32], [u8; 32], [u8; 32], u64)>(),
    )
        .prop_map(|(hub, addresses, (current, next, token, expiry))| {
            let pins =
                Pins { current: SpkiHash::from_bytes(current), next: SpkiHash::from_bytes(next) };
            Invite::new(
                HubId::from_slice(&hub).unwrap(),
                addresses,
                pins,
                Token::from_slice(&token).unwrap(),
                Timestamp::from_micros(expiry),
            )
            .unwrap()
        })
}

proptest! {
    #[test]
    fn every_invite_reads_back_as_itself(invite in any_invite()) {
        prop_assert_eq!(invite.to_string().parse(), Ok(invite));
    }

    #[test]
    fn no_flipped_bit_of_the_text_passes(
        invite in any_invite(),
        place in any::<prop::sample::Index>(),
        bit in 0..7u8,
    ) {
        let mut text = invite.to_string().into_bytes();
        let place = place.index(text.len());
        text[place] ^= 1 << bit;
        let text = String::from_utf8(text).unwrap();
        prop_assert!(text.parse::<Invite>().is_err());
    }

    #[test]
    fn no_flipped_bit_of_the_binary_form_passes(
        invite in any_invite(),
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut bytes = invite.to_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(Invite::from_bytes(&bytes).is_err());
    }

    #[test]
    fn junk_of_any_kind_is_refused_without_a_panic(junk in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Invite::from_bytes(&junk).is_err());
        let line = format!("{HEAD}{}", URL_SAFE_NO_PAD.encode(&junk));
        prop_assert!(line.parse::<Invite>().is_err());
    }
}
