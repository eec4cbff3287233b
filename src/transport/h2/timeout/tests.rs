use proptest::prelude::*;

use super::*;

#[test]
fn every_unit_is_read() {
    let cases: [(&[u8], Duration); 8] = [
        (b"2H", Duration::from_secs(7_200)),
        (b"3M", Duration::from_secs(180)),
        (b"4S", Duration::from_secs(4)),
        (b"5m", Duration::from_millis(5)),
        (b"6u", Duration::from_micros(6)),
        (b"7n", Duration::from_nanos(7)),
        (b"0n", Duration::ZERO),
        (b"00000042S", Duration::from_secs(42)),
    ];
    for (text, duration) in cases {
        assert_eq!(parse(text), Ok(duration), "{text:?}");
    }
}

#[test]
fn the_greatest_timeout_does_not_overflow() {
    assert_eq!(parse(b"99999999H"), Ok(Duration::from_secs(99_999_999 * 3_600)));
}

#[test]
fn malformed_values_are_errors() {
    let cases: [&[u8]; 12] = [
        b"",
        b"5",
        b"S",
        b"abc",
        b"-1S",
        b"+1S",
        b"1x",
        b"1s",
        b"1h",
        b"1 S",
        b"123456789S",
        b"1.5S",
    ];
    for text in cases {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_error_names_the_value_and_the_rule() {
    let error = parse(b"12\x07x").unwrap_err().to_string();
    let rule = "it must be 1 to 8 digits and a unit, which is H, M, S, m, u or n";
    assert_eq!(error, format!("invalid grpc-timeout \"12\\u{{7}}x\": {rule}"));
}

#[test]
fn the_error_shows_only_the_start_of_a_long_value() {
    let error = parse(&[b'1'; 10_000]).unwrap_err().to_string();
    assert!(error.starts_with("invalid grpc-timeout \"111111111111111111111111\"...: "), "{error}");
}

#[test]
fn the_finest_unit_that_fits_is_written() {
    let cases = [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_000), "100000u"),
        (Duration::from_nanos(100_000_001), "100001u"),
        (Duration::from_secs(1), "1000000u"),
        // Rounded up, this would be nine digits of microseconds.
        (Duration::from_nanos(99_999_999_001), "100000m"),
        (Duration::from_secs(100), "100000m"),
        (Duration::from_secs(100_000), "100000S"),
        (Duration::from_secs(100_000_000), "1666667M"),
        (Duration::from_secs(6_000_000_000), "1666667H"),
        (Duration::MAX, "99999999H"),
    ];
    for (duration, text) in cases {
        assert_eq!(format(duration), text, "{duration:?}");
    }
}

/// Durations of all magnitudes, to the greatest that can be written.
fn duration() -> impl Strategy<Value = Duration> {
    let second = 0..1_000_000_000_u32;
    (0..39_u32, any::<u64>(), second).prop_map(|(bits, seconds, nanos)| {
        let seconds = seconds & ((1 << bits) - 1);
        Duration::new(seconds.min(99_999_999 * 3_600 - 1), nanos)
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_rounded_up_by_less_than_a_unit(timeout in duration()) {
        let text = format(timeout);
        prop_assert!(text.len() <= 9, "{}", text);
        let read = parse(text.as_bytes()).unwrap();
        let letter = text.chars().last().unwrap();
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == letter).unwrap();
        prop_assert!(read >= timeout, "{}", text);
        prop_assert!((read - timeout).as_nanos() < *unit, "{}", text);
    }

    #[test]
    fn any_bytes_are_a_timeout_exactly_if_they_look_like_one(bytes in "[0-9HMSmunx]{0,11}|.{0,6}") {
        let (digits, unit) = bytes.split_at(bytes.char_indices().last().map_or(0, |(at, _)| at));
        let digits_fit = (1..=8).contains(&digits.len())
            && digits.chars().all(|digit| "0123456789".contains(digit));
        let unit_known = unit.len() == 1 && "HMSmun".contains(unit);
        prop_assert_eq!(parse(bytes.as_bytes()).is_ok(), digits_fit && unit_known);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.to_string().starts_with("invalid grpc-timeout \""));
        }
    }
}
