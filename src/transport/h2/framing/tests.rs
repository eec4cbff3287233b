use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::status::Code;

/// A message with its prefix.
fn frame(compressed: bool, data: &[u8]) -> Vec<u8> {
    let mut bytes = prefix(compressed, data.len()).unwrap().to_vec();
    bytes.extend_from_slice(data);
    bytes
}

fn message(compressed: bool, data: &[u8]) -> Message {
    Message { compressed, data: Bytes::copy_from_slice(data) }
}

fn drain(decoder: &mut Decoder) -> Vec<Message> {
    std::iter::from_fn(|| decoder.next().unwrap()).collect()
}

/// Stands for a read buffer: as long as a slice of it lives, `Arc::strong_count` is over 1.
struct ReadBuffer(Vec<u8>, #[allow(dead_code, reason = "counted, not read")] Arc<()>);

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn prefix_is_the_flag_and_the_big_endian_length() {
    assert_eq!(prefix(false, 0), Ok([0, 0, 0, 0, 0]));
    assert_eq!(prefix(true, 0x0102_0304), Ok([1, 1, 2, 3, 4]));
    assert_eq!(prefix(false, u32::MAX as usize), Ok([0, 255, 255, 255, 255]));
}

#[test]
#[cfg(target_pointer_width = "64")]
fn prefix_refuses_what_four_bytes_cannot_hold() {
    let (len, limit) = (1 << 32, u32::MAX as usize);
    assert_eq!(prefix(false, len), Err(FramingError::TooLarge { len, limit }));
}

#[test]
fn a_whole_message_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from(frame(true, b"hello"));
    let start = chunk.as_ptr();
    let mut decoder = Decoder::new(100);
    decoder.push(chunk);
    let got = decoder.next().unwrap().unwrap();
    assert_eq!(got, message(true, b"hello"));
    assert_eq!(got.data.as_ptr(), start.wrapping_add(PREFIX_LEN));
    assert_eq!(decoder.queue.capacity(), 0);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn messages_in_later_large_chunks_are_not_copied_either() {
    let chunk = Bytes::from(frame(false, &[7; COALESCE_BELOW]));
    let mut decoder = Decoder::new(COALESCE_BELOW);
    decoder.push(chunk.clone());
    decoder.push(chunk.clone());
    let got = drain(&mut decoder);
    assert_eq!(got.len(), 2);
    for message in got {
        assert_eq!(message.data.as_ptr(), chunk.as_ptr().wrapping_add(PREFIX_LEN));
    }
}

#[test]
fn empty_messages_and_empty_chunks_are_fine() {
    let mut decoder = Decoder::new(0);
    decoder.push(Bytes::new());
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Ok(()));
    decoder.push(Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0]));
    decoder.push(Bytes::new());
    assert_eq!(decoder.next(), Ok(Some(message(false, b""))));
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(Bytes::from_static(&[0, 0, 0]));
    assert_eq!(decoder.next(), Ok(Some(message(true, b""))));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_message_at_the_limit_passes_and_one_over_it_does_not() {
    let mut decoder = Decoder::new(3);
    decoder.push(Bytes::from(frame(false, b"abc")));
    assert_eq!(decoder.next(), Ok(Some(message(false, b"abc"))));
    // The prefix alone is enough to tell.
    decoder.push(Bytes::from_static(&[0, 0, 0, 0, 4]));
    assert_eq!(decoder.next(), Err(FramingError::TooLarge { len: 4, limit: 3 }));
}

#[test]
fn an_error_stays_and_frees_what_is_held() {
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_static(&[2, 0, 0, 0, 0]));
    decoder.push(Bytes::from(frame(false, &[0; 2000])));
    for _ in 0..2 {
        assert_eq!(decoder.next(), Err(FramingError::BadFlag(2)));
        assert_eq!(decoder.finish(), Err(FramingError::BadFlag(2)));
        assert_eq!(decoder.buffered(), 0);
        decoder.push(Bytes::from(frame(false, b"valid")));
    }
    assert!(decoder.front.is_empty() && decoder.queue.is_empty() && decoder.tail.is_empty());
}

#[test]
fn a_stream_that_ends_inside_a_message_is_truncated() {
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_static(&[0, 0]));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Err(FramingError::Truncated { have: 2, want: 5 }));
    decoder.push(Bytes::from_static(&[0, 0, 9]));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Err(FramingError::Truncated { have: 5, want: 14 }));
    decoder.push(Bytes::from_static(b"abc"));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Err(FramingError::Truncated { have: 8, want: 14 }));
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = Decoder::new(usize::MAX);
    decoder.push(Bytes::from_static(&[0, 255, 255, 255, 255]));
    assert_eq!(decoder.next(), Ok(None));
    for _ in 0..1000 {
        decoder.push(Bytes::from_static(b"0123456789"));
        assert_eq!(decoder.next(), Ok(None));
    }
    assert_eq!(decoder.buffered(), 10_005);
    assert_eq!(decoder.queue.capacity(), 0);
    assert!(decoder.tail.capacity() < 4 * 10_000, "{}", decoder.tail.capacity());
}

#[test]
fn many_tiny_chunks_do_not_pin_their_read_buffers() {
    const COUNT: usize = 100_000;
    let live = Arc::new(());
    let mut decoder = Decoder::new(100);
    for _ in 0..COUNT {
        let buffer = ReadBuffer(frame(false, b"x"), Arc::clone(&live));
        decoder.push(Bytes::from_owner(buffer));
    }
    // One is in `front`, the other count is `live` itself.
    assert_eq!(Arc::strong_count(&live), 2);
    assert_eq!(decoder.buffered(), 6 * COUNT);
    assert!(decoder.tail.capacity() <= 2 * 6 * COUNT, "{}", decoder.tail.capacity());
    assert_eq!(drain(&mut decoder), vec![message(false, b"x"); COUNT]);
    assert_eq!(Arc::strong_count(&live), 1);
    assert_eq!(decoder.tail.capacity(), 0);
}

#[test]
fn an_empty_chunk_does_not_pin_its_read_buffer() {
    let live = Arc::new(());
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_owner(ReadBuffer(Vec::new(), Arc::clone(&live))));
    assert_eq!(Arc::strong_count(&live), 1);
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_chunk_that_is_used_up_is_released_at_once() {
    let live = Arc::new(());
    let mut decoder = Decoder::new(100);
    // The chunk has one whole message, which is empty, and the prefix of the next.
    let buffer = ReadBuffer(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Arc::clone(&live));
    decoder.push(Bytes::from_owner(buffer));
    assert_eq!(decoder.next(), Ok(Some(message(false, b""))));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(Arc::strong_count(&live), 1);
    assert_eq!(decoder.buffered(), PREFIX_LEN);
}

/// Were `next` linear in what is buffered, this would take hours.
#[test]
fn a_million_buffered_messages_are_read_in_linear_time() {
    const COUNT: usize = if cfg!(miri) { 1_000 } else { 1_000_000 };
    let mut decoder = Decoder::new(100);
    let chunk = Bytes::from(frame(false, b"x").repeat(200));
    for _ in 0..COUNT / 200 {
        decoder.push(chunk.clone());
    }
    assert_eq!(drain(&mut decoder).len(), COUNT);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn errors_name_the_numbers_and_map_to_the_codes_of_other_implementations() {
    let cases = [
        (
            FramingError::TooLarge { len: 5_000_000, limit: 4_194_304 },
            Code::ResourceExhausted,
            "message larger than max (5000000 vs. 4194304)",
        ),
        (
            FramingError::BadFlag(7),
            Code::Internal,
            "message prefix has the compressed flag 7, expected 0 or 1",
        ),
        (
            FramingError::Truncated { have: 8, want: 14 },
            Code::Internal,
            "stream ended inside a message, after 8 of 14 bytes",
        ),
    ];
    for (error, code, text) in cases {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.status().code(), code);
        assert_eq!(error.status().message(), text);
    }
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let size = prop_oneof![0..20_usize, 0..3_000_usize];
    let data = (size, any::<u8>())
        .prop_map(|(size, seed)| (0..size).map(|i| seed.wrapping_add(i as u8)).collect::<Bytes>());
    let message = (any::<bool>(), data).prop_map(|(compressed, data)| Message { compressed, data });
    prop::collection::vec(message, 0..12)
}

/// Sizes of chunks, repeated as often as needed, and whether to read after each.
fn cuts() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let size = prop_oneof![1..9_usize, 1..COALESCE_BELOW, COALESCE_BELOW..2 * COALESCE_BELOW];
    prop::collection::vec((size, any::<bool>()), 1..20)
}

proptest! {
    #[test]
    fn any_messages_cut_anywhere_come_out_the_same(messages in messages(), cuts in cuts()) {
        let wire = messages.iter().flat_map(|m| frame(m.compressed, &m.data)).collect::<Bytes>();
        let mut decoder = Decoder::new(3_000);
        let (mut rest, mut pushed, mut read) = (wire, 0, Vec::new());
        for (size, read_now) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let chunk = rest.split_to(rest.len().min(*size));
            pushed += chunk.len();
            decoder.push(chunk);
            if *read_now {
                read.extend(drain(&mut decoder));
            }
            let delivered: usize = read.iter().map(|m| m.data.len() + PREFIX_LEN).sum();
            prop_assert_eq!(decoder.buffered(), pushed - delivered);
            prop_assert_eq!(decoder.buffered() == 0, pushed == delivered);
            let stored = decoder.front.len()
                + decoder.queue.iter().map(Bytes::len).sum::<usize>()
                + decoder.tail.len();
            prop_assert_eq!(decoder.held, stored);
        }
        read.extend(drain(&mut decoder));
        prop_assert_eq!(read, messages);
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn garbage_does_not_panic(
        chunks in prop::collection::vec(prop::collection::vec(0..4_u8, 0..40), 0..40),
        limit in 0..1_000_000_usize,
    ) {
        let mut decoder = Decoder::new(limit);
        let mut pushed = 0;
        for chunk in chunks {
            pushed += chunk.len();
            decoder.push(Bytes::from(chunk));
            let mut last = decoder.next();
            while let Ok(Some(message)) = last {
                prop_assert!(message.data.len() <= limit);
                last = decoder.next();
            }
            prop_assert!(decoder.buffered() <= pushed);
            if last.is_err() {
                prop_assert_eq!(decoder.next(), last);
            }
        }
        prop_assert_eq!(decoder.finish().is_ok(), decoder.failed.is_none() && decoder.buffered() == 0);
    }
}
