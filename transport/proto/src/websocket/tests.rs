use super::*;
use proptest::prelude::*;

/// A frame as a peer writes it, its payload of zeroes.
#[derive(Debug, Clone)]
struct Written {
    first: u8,
    masked: bool,
    payload: usize,
    /// The length stands in a longer form than it needs.
    long_form: bool,
}

impl Written {
    fn bytes(&self) -> Vec<u8> {
        let mask = if self.masked { MASK_BIT } else { 0 };
        let mut bytes = vec![self.first];
        match u16::try_from(self.payload) {
            Ok(short) if short < 126 && !self.long_form => {
                bytes.push(mask | u8::try_from(short).unwrap());
            }
            Ok(middle) if !self.long_form => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&middle.to_be_bytes());
            }
            Ok(_) | Err(_) => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(self.payload as u64).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend_from_slice(&[0x88; 4]);
        }
        // Payloads that look like frames must not be taken for any.
        bytes.extend(std::iter::repeat_n(0x88, self.payload));
        bytes
    }
}

fn written() -> impl Strategy<Value = Written> {
    let payload = prop_oneof![0..130_usize, 60_000..70_000_usize];
    // Every opcode but the close frame's, every combination of the reserved bits.
    let first = any::<u8>().prop_map(|byte| if byte & 0x0f == 8 { byte ^ 1 } else { byte });
    (first, any::<bool>(), payload, any::<bool>()).prop_map(
        |(first, masked, payload, long_form)| Written { first, masked, payload, long_form },
    )
}

proptest! {
    #[test]
    fn boundaries_are_where_frames_end_however_the_bytes_are_split(
        frames in proptest::collection::vec(written(), 1..6),
        close in any::<bool>(),
        step in prop_oneof![1..4_usize, 1_000..100_000_usize],
    ) {
        let mut frames = frames;
        if close {
            frames.push(Written { first: 0x88, masked: true, payload: 2, long_form: false });
        }
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for frame in &frames {
            bytes.extend(frame.bytes());
            ends.push(bytes.len());
        }
        let mut follower = FrameFollower::default();
        let mut at = 0;
        for part in bytes.chunks(step) {
            follower.pass(part);
            at += part.len();
            prop_assert_eq!(follower.at_boundary(), ends.contains(&at), "at {}", at);
            prop_assert_eq!(follower.closed(), close && at == bytes.len(), "at {}", at);
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_fail(parts in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let mut follower = FrameFollower::default();
        for part in &parts {
            follower.pass(part);
        }
        let (mut whole, bytes) = (FrameFollower::default(), parts.concat());
        whole.pass(&bytes);
        prop_assert_eq!(whole.at_boundary(), follower.at_boundary());
        prop_assert_eq!(whole.closed(), follower.closed());
    }
}

#[test]
fn a_frame_longer_than_this_machine_counts_is_followed_and_one_that_is_none_is_given_up() {
    let mut follower = FrameFollower::default();
    follower.pass(&[0x82, 0xff]);
    follower.pass(&(i64::MAX as u64).to_be_bytes());
    follower.pass(&[0; 100_000]);
    assert!(!follower.at_boundary());
    let mut follower = FrameFollower::default();
    follower.pass(&[0x82, 127]);
    follower.pass(&u64::MAX.to_be_bytes());
    follower.pass(&[0x88, 0, 0x88, 0]);
    assert!(!follower.at_boundary() && !follower.closed());
}

#[test]
fn a_close_frame_counts_once_it_is_whole() {
    let frame = close_frame(CloseStatus::InternalError, "the agent was lost");
    assert_eq!(&frame[..4], [0x88, 20, 0x03, 0xf3]);
    let mut follower = FrameFollower::default();
    follower.pass(&frame[..frame.len() - 1]);
    assert!(!follower.closed() && !follower.at_boundary());
    follower.pass(&frame[frame.len() - 1..]);
    assert!(follower.closed() && follower.at_boundary());
}

#[test]
fn a_close_frame_never_outgrows_a_control_frame() {
    let frame = close_frame(CloseStatus::GoingAway, &"ü".repeat(100));
    assert_eq!(usize::from(frame[1]), frame.len() - 2);
    assert!(frame.len() <= 2 + CONTROL_PAYLOAD_BYTES_MAX);
    assert!(std::str::from_utf8(&frame[4..]).is_ok());
}
