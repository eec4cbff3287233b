//! Encodings: round trips, limits, and what is not theirs.

use super::coding::read_up_to;
use super::{Encoding, Encodings};
use crate::status::Code;
use proptest::prelude::*;
use std::io::{self, Read};

const KIB: usize = 1024;

fn compressible(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

#[test]
fn sets_are_named_as_grpc_accept_encoding_has_them() {
    assert_eq!(Encodings::default().names(), "identity");
    for &encoding in Encoding::ALL {
        let set = Encodings::of(&[encoding]);
        assert_eq!(set.names(), format!("identity,{encoding}"));
        assert!(set.has(encoding) && !set.is_empty() && !Encodings::default().has(encoding));
        assert_eq!(Encoding::from_name(encoding.name().as_bytes()), Some(encoding));
    }
    let all = Encoding::ALL.iter().map(|it| it.name());
    let all: Vec<_> = ["identity"].into_iter().chain(all).collect();
    assert_eq!(Encodings::of(Encoding::ALL).names(), all.join(","));
    assert_eq!(Encoding::from_name(b"identity"), None);
}

#[test]
fn what_does_not_shrink_is_not_compressed() {
    // A generator of which no encoding finds the rule.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(10 * KIB)
    .collect();
    for encoding in Encoding::ALL {
        assert_eq!(encoding.compress(&noise), None, "{encoding}");
        assert_eq!(encoding.compress(b""), None, "{encoding}");
        assert_eq!(encoding.compress(&[0; 20]), None, "{encoding}");
        assert!(encoding.compress(&[0; KIB]).is_some_and(|it| it.len() < 100), "{encoding}");
    }
}

#[test]
fn a_message_as_long_as_the_limit_is_decompressed_and_a_longer_one_is_not() {
    for encoding in Encoding::ALL {
        for limit in [100, KIB, 4 * KIB + 1, 300 * KIB] {
            for (length, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
                let message = compressible(length);
                let compressed = encoding.compress(&message).unwrap();
                match encoding.decompress(&compressed, limit) {
                    Ok(data) => assert!(fits && data == message, "{encoding} {length}"),
                    Err(status) => {
                        assert!(!fits, "{encoding} {length}: {status}");
                        assert_eq!(status.code(), Code::ResourceExhausted);
                        let limit = limit.to_string();
                        assert!(status.message().contains(&limit), "{status}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused() {
    for encoding in Encoding::ALL {
        let bomb = encoding.compress(&vec![0; 8 * KIB * KIB]).unwrap();
        assert!(bomb.len() < 20 * KIB, "{encoding}");
        for limit in [KIB * KIB, 0] {
            let status = encoding.decompress(&bomb, limit).unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}");
        }
    }
}

/// What a bomb is to memory: an endless reader, which counts what it is asked for.
struct Endless {
    given: usize,
    largest: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.largest = self.largest.max(buffer.len());
        self.given += buffer.len();
        Ok(buffer.len())
    }
}

#[test]
fn no_more_is_decompressed_than_the_limit_and_the_byte_that_is_over_it() {
    for (expected, limit) in [(1, 1), (7, 1000), (1000, 1000), (5000, 1000), (10, 0)] {
        let mut reader = Endless { given: 0, largest: 0 };
        assert_eq!(read_up_to(&mut reader, expected, limit).unwrap(), None);
        assert_eq!(reader.given, limit + 1);
        assert!(reader.largest <= limit.max(1));
    }
}

#[test]
fn what_is_decompressed_takes_no_more_room_than_the_limit() {
    for (expected, limit) in [(300, 1000), (256, 1000), (3 * KIB * KIB, 4 * KIB * KIB)] {
        let source = vec![1; limit];
        let data = read_up_to(&mut &source[..], expected, limit).unwrap().unwrap();
        assert_eq!(data, source);
        assert!(data.capacity() <= limit, "{} of {limit}", data.capacity());
    }
}

#[test]
fn what_is_cut_off_or_goes_on_or_is_something_else_is_refused() {
    let refused = |encoding: Encoding, data: &[u8], what: &str| {
        let status = encoding.decompress(data, 100 * KIB).expect_err(what);
        assert_eq!(status.code(), Code::Internal, "{encoding}, {what}: {status}");
        assert!(status.message().contains(encoding.name()), "{status}");
    };
    for &encoding in Encoding::ALL {
        let good = encoding.compress(&compressible(10 * KIB)).unwrap();
        for length in 0..good.len() {
            refused(encoding, &good[..length], "cut off");
        }
        refused(encoding, &[&good[..], &[0]].concat(), "one byte more");
        refused(encoding, &[&good[..], &good[..]].concat(), "twice");
        refused(encoding, b"not compressed at all, by nobody", "plain text");
    }
}

#[test]
#[cfg(feature = "zstd")]
fn a_zstd_window_is_no_longer_than_any_decoder_must_keep_or_the_limit_is() {
    // The header of a frame with a window of 2^n bytes, and an empty last block.
    let frame = |window_log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 1, 0, 0];
    let decompress = |log, limit| Encoding::Zstd.decompress(&frame(log), limit);
    assert_eq!(decompress(23, KIB).unwrap(), "");
    let status = decompress(24, KIB).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(decompress(24, 16 * KIB * KIB).unwrap(), "");
    assert!(decompress(28, usize::MAX).is_err());
}

/// Made by Python's gzip and zlib modules, and by the zstd command.
#[test]
fn what_other_programs_have_compressed_is_read() {
    let samples = [
        ("gzip", "1f8b08000000000002032b292dca2b2ec9cc495528219f05009ecd98db45000000"),
        ("deflate", "789c2b292dca2b2ec9cc495528219f0500dc591c27"),
        ("zstd", "28b52ffd0458850000507475726e7374696c65200100a85490aa0dbaa5"),
    ];
    for (name, sample) in samples {
        let Some(encoding) = Encoding::from_name(name.as_bytes()) else { continue };
        let digits = sample.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let data: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let message = encoding.decompress(&data, KIB).unwrap();
        assert_eq!(message, ["turnstile"; 7].join(" "), "{encoding}");
    }
}

proptest! {
    #[test]
    fn what_is_compressed_comes_back(
        pieces in prop::collection::vec((any::<u8>(), 0..2000_usize), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        let runs = pieces.iter().flat_map(|&(byte, count)| std::iter::repeat_n(byte, count));
        let message: Vec<u8> = runs.chain(noise).collect();
        for encoding in Encoding::ALL {
            if let Some(compressed) = encoding.compress(&message) {
                prop_assert!(compressed.len() < message.len());
                prop_assert_eq!(&encoding.decompress(&compressed, message.len()).unwrap(), &message);
                let less = encoding.decompress(&compressed, message.len() - 1).unwrap_err();
                prop_assert_eq!(less.code(), Code::ResourceExhausted);
            }
        }
    }

    #[test]
    fn garbage_is_refused_or_stays_within_the_limit(
        message in prop::collection::vec(any::<u8>(), 1..300),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
    ) {
        for encoding in Encoding::ALL {
            let repeated = message.repeat(10);
            let compressed = encoding.compress(&repeated);
            let mut data = compressed.map_or_else(|| message.clone(), Vec::from);
            for (at, flip) in &flips {
                let at = at.index(data.len());
                data[at] ^= flip;
            }
            match encoding.decompress(&data, 5000) {
                Ok(data) => prop_assert!(data.len() <= 5000),
                Err(status) => {
                    let is_known = matches!(
                        status.code(),
                        Code::Internal | Code::ResourceExhausted
                    );
                    prop_assert!(is_known, "{}", status);
                }
            }
        }
    }
}
