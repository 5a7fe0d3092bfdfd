use super::super::amount::{Rate, Share};
use super::super::loss::Loss;
use super::super::packet::made;
use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const THERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const TCP: u8 = 6;
const UDP: u8 = 17;

fn shape(draft: Draft) -> Shape {
    Shape::new(Shaping::try_from(draft).expect("possible"), 7)
}

fn packet(length: u16, mark: u8) -> Packet {
    made(THERE, TCP, length, mark)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// All that comes out in the end: when, and the last byte of each.
fn drained(shape: &mut Shape) -> Vec<(Duration, u8)> {
    let end = Duration::from_secs(1_000_000);
    let all = std::iter::from_fn(|| shape.take(end));
    all.map(|(due, packet)| (due, *packet.bytes().last().expect("bytes"))).collect()
}

#[test]
fn a_link_that_does_nothing_gives_packets_back_at_once() {
    let mut shape = shape(Draft::default());
    shape.offer(millis(5), packet(100, 1));
    assert_eq!(shape.take(millis(4)), None);
    assert_eq!(shape.take(millis(5)), Some((millis(5), packet(100, 1))));
    assert_eq!(shape.next_due(), None);
}

#[test]
fn a_delay_is_kept_to_the_nanosecond() {
    let mut shape = shape(Draft { delay: millis(25), ..Draft::default() });
    shape.offer(millis(1), packet(100, 1));
    assert_eq!(shape.next_due(), Some(millis(26)));
    assert_eq!(shape.take(millis(26) - Duration::from_nanos(1)), None);
    assert!(shape.take(millis(26)).is_some());
}

#[test]
fn packets_wait_for_the_rate_one_behind_the_other() {
    // 1000 bytes are 8 ms at 1 Mbit/s.
    let mut shape = shape(Draft { rate: Rate::from_bits(1_000_000), ..Draft::default() });
    for mark in 1..=3 {
        shape.offer(Duration::ZERO, packet(1_000, mark));
    }
    assert_eq!(drained(&mut shape), [(millis(8), 1), (millis(16), 2), (millis(24), 3)]);
    // A line that was idle has saved nothing up.
    shape.offer(millis(100), packet(1_000, 4));
    assert_eq!(drained(&mut shape), [(millis(108), 4)]);
}

#[test]
fn a_full_queue_drops_the_newest_and_has_room_again_when_a_packet_was_sent() {
    let rate = Rate::from_bits(1_000_000);
    let mut shape = shape(Draft { rate, queue_bytes: 3_000, ..Draft::default() });
    for mark in 1..=4 {
        shape.offer(Duration::ZERO, packet(1_000, mark));
    }
    assert_eq!(shape.counts().dropped.queue_full, 1);
    assert_eq!(shape.counts().queue_high_bytes, 3_000);
    // The first is sent at 8 ms: until then its bytes are held.
    shape.offer(millis(8) - Duration::from_nanos(1), packet(1_000, 5));
    assert_eq!(shape.counts().dropped.queue_full, 2);
    shape.offer(millis(8), packet(1_000, 6));
    assert_eq!(shape.counts().dropped.queue_full, 2);
    let order: Vec<u8> = drained(&mut shape).into_iter().map(|(_, mark)| mark).collect();
    assert_eq!(order, [1, 2, 3, 6]);
}

#[test]
fn packets_above_the_mtu_vanish_and_take_no_room() {
    let rate = Rate::from_bits(1_000_000);
    let mut shape = shape(Draft { mtu: 1_280, rate, queue_bytes: 1_280, ..Draft::default() });
    shape.offer(Duration::ZERO, packet(1_281, 1));
    shape.offer(Duration::ZERO, packet(1_280, 2));
    assert_eq!(shape.counts().dropped.too_big, 1);
    assert_eq!(drained(&mut shape).len(), 1);
}

#[test]
fn where_udp_is_blocked_everything_else_passes() {
    let mut shape = shape(Draft { udp_blocked: true, ..Draft::default() });
    shape.offer(Duration::ZERO, made(THERE, UDP, 100, 1));
    shape.offer(Duration::ZERO, made(THERE, TCP, 100, 2));
    shape.offer(Duration::ZERO, made(THERE, 1, 100, 3));
    assert_eq!(shape.counts().dropped.udp_blocked, 1);
    assert_eq!(drained(&mut shape), [(Duration::ZERO, 2), (Duration::ZERO, 3)]);
}

#[test]
fn a_held_back_packet_arrives_behind_those_that_came_after_it() {
    let half = Share::from_millionths(500_000).expect("a share");
    let reorder = Some(Reorder { share: half, by: millis(10) });
    let mut shape = shape(Draft { delay: millis(20), reorder, ..Draft::default() });
    for mark in 0..100 {
        shape.offer(millis(mark), packet(100, mark as u8));
    }
    let (reordered, out) = (shape.counts().reordered, drained(&mut shape));
    assert!((30..70).contains(&reordered), "{reordered}");
    let late = out.iter().filter(|(due, mark)| *due == millis(u64::from(*mark) + 30)).count();
    let prompt = out.iter().filter(|(due, mark)| *due == millis(u64::from(*mark) + 20)).count();
    assert_eq!((late as u64, prompt as u64), (reordered, 100 - reordered));
    assert!(out.windows(2).any(|pair| pair[0].1 > pair[1].1), "none was overtaken");
}

#[test]
fn a_duplicate_is_the_same_packet_at_the_same_time() {
    let mut shape = shape(Draft { duplicate: Share::ALL, delay: millis(3), ..Draft::default() });
    shape.offer(Duration::ZERO, packet(100, 9));
    assert_eq!(drained(&mut shape), [(millis(3), 9), (millis(3), 9)]);
    assert_eq!(shape.counts().duplicated, 1);
    assert_eq!(shape.counts().delivered, Tally { packets: 2, bytes: 200 });
}

#[test]
fn a_lost_packet_has_used_the_rate() {
    let rate = Rate::from_bits(1_000_000);
    let loss = Loss::Random { share: Share::ALL };
    let mut shape = shape(Draft { rate, loss, ..Draft::default() });
    shape.offer(Duration::ZERO, packet(1_000, 1));
    shape.change(Shaping::try_from(Draft { rate, ..Draft::default() }).expect("possible"));
    shape.offer(Duration::ZERO, packet(1_000, 2));
    assert_eq!(drained(&mut shape), [(millis(16), 2)]);
}

#[test]
fn a_change_of_settings_lets_nobody_overtake() {
    let mut shape = shape(Draft { delay: millis(100), ..Draft::default() });
    shape.offer(Duration::ZERO, packet(100, 1));
    shape.change(Shaping::default());
    shape.offer(millis(1), packet(100, 2));
    assert_eq!(drained(&mut shape), [(millis(100), 1), (millis(100), 2)]);
}

#[test]
fn what_is_on_its_way_is_bounded() {
    let mut shape = shape(Draft { delay: millis(100), mtu: 9_000, ..Draft::default() });
    let fits = LINE_BYTES_MAX / 9_000;
    for _ in 0..fits + 5 {
        shape.offer(Duration::ZERO, packet(9_000, 1));
    }
    assert_eq!(shape.counts().dropped.line_full, 5);
    assert_eq!(shape.inside() as u64, fits);
}

/// Any settings that are possible.
fn drafts() -> impl Strategy<Value = Draft> {
    let share = || (0_u32..400_000).prop_map(|part| Share::from_millionths(part).expect("a part"));
    let loss = prop_oneof![
        Just(Loss::None),
        share().prop_map(|share| Loss::Random { share }),
        (share(), 1_u32..9).prop_map(|(share, mean)| Loss::Burst {
            share,
            mean: std::num::NonZeroU32::new(mean).expect("not zero"),
        }),
    ];
    let reorder = prop_oneof![
        Just(None),
        (1_u32..400_000, 1_u64..40).prop_map(|(part, by)| Some(Reorder {
            share: Share::from_millionths(part).expect("a part"),
            by: Duration::from_millis(by),
        })),
    ];
    let rate = prop_oneof![Just(None), (8_000_u64..50_000_000).prop_map(Rate::from_bits)];
    (0_u64..80, 0_u64..100, rate, 1_500_u64..60_000, loss, reorder, share(), any::<bool>())
        .prop_map(|(delay, jitter, rate, queue_bytes, loss, reorder, duplicate, udp_blocked)| {
            Draft {
                delay: millis(delay),
                jitter: millis(delay * jitter / 100),
                rate,
                queue_bytes,
                loss,
                reorder,
                duplicate,
                mtu: 1_400,
                udp_blocked,
            }
        })
}

/// What comes: nanoseconds since the one before, its length (a header, and its mark at least), and
/// whether it is UDP.
fn traffic() -> impl Strategy<Value = Vec<(u64, u16, bool)>> {
    proptest::collection::vec((0_u64..5_000_000, 21_u16..1_500, any::<bool>()), 1..150)
}

/// Plays `traffic` and takes what arrives on the way.
fn play(shape: &mut Shape, traffic: &[(u64, u16, bool)]) -> Vec<(Duration, Packet)> {
    let (mut now, mut out) = (Duration::ZERO, Vec::new());
    for (index, (gap, length, udp)) in traffic.iter().enumerate() {
        now += Duration::from_nanos(*gap);
        shape.offer(now, made(THERE, if *udp { UDP } else { TCP }, *length, index as u8));
        out.extend(std::iter::from_fn(|| shape.take(now)));
    }
    out
}

proptest! {
    #[test]
    fn each_packet_is_delivered_dropped_or_still_inside(
        draft in drafts(), traffic in traffic(), seed: u64,
    ) {
        let mut shape = Shape::new(Shaping::try_from(draft).expect("possible"), seed);
        let out = play(&mut shape, &traffic);
        let counts = *shape.counts();
        prop_assert_eq!(counts.offered.packets, traffic.len() as u64);
        prop_assert_eq!(counts.delivered.packets, out.len() as u64);
        prop_assert_eq!(
            counts.offered.packets + counts.duplicated,
            counts.delivered.packets + counts.dropped.all() + shape.inside() as u64
        );
        prop_assert!(counts.queue_high_bytes <= shape.shaping.settings().queue_bytes);
    }

    #[test]
    fn the_same_seed_and_times_give_the_same_packets_at_the_same_times(
        draft in drafts(), traffic in traffic(), seed: u64,
    ) {
        let shaping = Shaping::try_from(draft).expect("possible");
        let [first, second] = [0, 1].map(|_| {
            let mut shape = Shape::new(shaping.clone(), seed);
            (play(&mut shape, &traffic), *shape.counts())
        });
        prop_assert_eq!(first, second);
    }

    #[test]
    fn packets_keep_their_order_where_none_is_held_back(
        draft in drafts(), traffic in traffic(), seed: u64,
    ) {
        let draft = Draft { reorder: None, ..draft };
        let mut shape = Shape::new(Shaping::try_from(draft).expect("possible"), seed);
        let marks = play(&mut shape, &traffic).into_iter();
        let mut order: Vec<Option<u8>> =
            marks.map(|(_, packet)| packet.bytes().last().copied()).collect();
        order.extend(drained(&mut shape).into_iter().map(|(_, mark)| Some(mark)));
        prop_assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn no_more_than_the_rate_ever_passes(
        bits in 8_000_u64..50_000_000, traffic in traffic(), seed: u64,
    ) {
        let rate = Rate::from_bits(bits).expect("not zero");
        let draft = Draft { rate: Some(rate), queue_bytes: 20_000, ..Draft::default() };
        let mut shape = Shape::new(Shaping::try_from(draft).expect("possible"), seed);
        let mut out = play(&mut shape, &traffic);
        out.extend(std::iter::from_fn(|| shape.take(Duration::from_secs(1_000_000))));
        // From any packet to any later one: all but the first were sent in between.
        for (index, (began, _)) in out.iter().enumerate() {
            let mut bytes = 0;
            for (ended, packet) in &out[index + 1..] {
                bytes += packet.bytes().len() as u64;
                prop_assert!(bytes <= rate.bytes_in(*ended - *began));
            }
        }
    }
}
