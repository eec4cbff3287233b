//! The header `grpc-timeout`: how long the client will wait, from when it sent the request.
//!
//! "Timeout → "grpc-timeout" TimeoutValue TimeoutUnit", where the value is "positive integer as
//! ASCII string of at most 8 digits" and the unit one letter (PROTOCOL-HTTP2). No I/O and no
//! clock: the caller knows when the request came.

use std::fmt;
use std::time::Duration;

const MAX_DIGITS: usize = 8;
const MAX_VALUE: u128 = 99_999_999;
const SECOND: u128 = 1_000_000_000;

/// The units with their nanoseconds, finest first.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', SECOND),
    ('M', 60 * SECOND),
    ('H', 3_600 * SECOND),
];

/// Reads a `grpc-timeout`. The greatest is 99,999,999 hours, so adding it to an `Instant` may
/// overflow.
///
/// Zero is accepted although the document says "positive": other implementations send and accept
/// it, for a deadline which has passed already.
///
/// # Errors
///
/// The value is not one to eight digits and a unit.
pub(crate) fn parse(value: &[u8]) -> Result<Duration, InvalidTimeout> {
    parse_checked(value).ok_or_else(|| InvalidTimeout::new(value))
}

fn parse_checked(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=MAX_DIGITS).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Eight digits fit 27 bits; the product with the seconds of an hour fits 39.
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Writes a `grpc-timeout` in the finest unit that fits, rounded up: the server should not give up
/// before the client does. What is over 99,999,999 hours becomes that.
pub(crate) fn format(timeout: Duration) -> String {
    let nanos = timeout.as_nanos();
    let fits = UNITS.iter().find(|(_, unit)| nanos.div_ceil(*unit) <= MAX_VALUE);
    match fits {
        Some((letter, unit)) => format!("{}{letter}", nanos.div_ceil(*unit)),
        None => format!("{MAX_VALUE}H"),
    }
}

/// A `grpc-timeout` that breaks the rule. The message names the value and the rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct InvalidTimeout {
    /// The start of the value, for the message.
    shown: String,
    truncated: bool,
}

impl InvalidTimeout {
    const SHOWN: usize = 24;

    fn new(value: &[u8]) -> Self {
        let start = &value[..value.len().min(Self::SHOWN)];
        let shown = String::from_utf8_lossy(start).into_owned();
        Self { shown, truncated: value.len() > Self::SHOWN }
    }
}

impl fmt::Display for InvalidTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug, since it escapes what a log should not contain.
        let (shown, dots) = (&self.shown, if self.truncated { "..." } else { "" });
        write!(
            f,
            "invalid grpc-timeout {shown:?}{dots}: it must be 1 to 8 digits and a unit, \
             which is H, M, S, m, u or n"
        )
    }
}

impl std::error::Error for InvalidTimeout {}

#[cfg(test)]
mod tests;
