//! Points on the globe.

use turnstile_protos::routeguide::{Point, Rectangle};

/// Points have degrees multiplied by this.
const SCALE: f64 = 1e7;

/// The earth's mean radius in metres.
const RADIUS: f64 = 6_371_000.0;

/// Whether a rectangle contains a point.
pub(crate) fn contains(area: &Rectangle, point: &Point) -> bool {
    let (lo, hi) = (area.lo.unwrap_or_default(), area.hi.unwrap_or_default());
    let between = |a: i32, b: i32, x: i32| (a.min(b)..=a.max(b)).contains(&x);
    between(lo.latitude, hi.latitude, point.latitude)
        && between(lo.longitude, hi.longitude, point.longitude)
}

/// The metres from one point to another along the globe, by the haversine formula.
pub(crate) fn distance(from: &Point, to: &Point) -> i32 {
    let radians = |scaled: i32| (f64::from(scaled) / SCALE).to_radians();
    let (from_latitude, to_latitude) = (radians(from.latitude), radians(to.latitude));
    let half_sine = |difference: f64| (difference / 2.0).sin().powi(2);
    let a = half_sine(to_latitude - from_latitude)
        + from_latitude.cos()
            * to_latitude.cos()
            * half_sine(radians(to.longitude) - radians(from.longitude));
    // A float as an integer saturates.
    (2.0 * RADIUS * a.sqrt().atan2((1.0 - a).sqrt())) as i32
}
