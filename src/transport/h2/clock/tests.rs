//! A table for each deadline: what happens, second by second, and what is due then.

use super::*;

const NEVER: Duration = Duration::MAX;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nothing has a deadline.
const OFF: Timeouts = Timeouts {
    handshake: NEVER,
    goaway: NEVER,
    keepalive_time: NEVER,
    keepalive_timeout: NEVER,
    max_idle: NEVER,
    max_age: NEVER,
    max_age_grace: NEVER,
};

/// A connection whose client has greeted, by a clock that starts with it.
struct Connection {
    start: Instant,
    clock: Clock,
    activity: Activity,
}

impl Connection {
    fn new(timeouts: Timeouts) -> Self {
        let activity = Activity { received: 33, may_ping: true, idle_after: Some(0) };
        let mut it = Self { start: Instant::now(), clock: Clock::new(timeouts), activity };
        it.clock.on_connected(it.start);
        it.clock.on_greeted(it.start, activity, 0.5);
        it
    }

    /// Bytes come.
    fn receive(&mut self) {
        self.activity.received += 9;
    }

    /// A call begins.
    fn begin_call(&mut self) {
        self.activity.idle_after = None;
    }

    /// A call ends, which was the last of so many.
    fn end_call(&mut self, calls: u64) {
        self.activity.idle_after = Some(calls);
    }

    /// Everything that is due up to this second, with its second: as a timer would have it, which
    /// is always set to the next deadline.
    fn up_to(&mut self, second: u64) -> Vec<(u64, Due)> {
        let mut found = Vec::new();
        while let Some(deadline) = self.clock.next_deadline() {
            let at = deadline.duration_since(self.start);
            if at > seconds(second) {
                break;
            }
            while let Some(due) = self.clock.on_deadline(deadline, self.activity) {
                found.push((at.as_secs(), due));
            }
            let next = self.clock.next_deadline();
            assert!(next.is_none_or(|next| next > deadline), "the timer spins: {found:?}");
        }
        found
    }
}

#[test]
fn what_is_off_has_no_deadline() {
    assert_eq!(Connection::new(OFF).clock.next_deadline(), None);
    let huge = Duration::from_secs(u64::MAX);
    let timeouts = Timeouts { keepalive_time: huge, max_idle: huge, max_age: huge, ..OFF };
    assert_eq!(Connection::new(timeouts).clock.next_deadline(), None);
}

#[test]
fn a_client_has_until_the_handshake_timeout_to_greet() {
    let timeouts = Timeouts { handshake: seconds(120), ..OFF };
    let mut late = Connection::new(timeouts);
    late.clock.on_connected(late.start);
    assert!(late.clock.awaits_greeting());
    assert_eq!(late.up_to(119), []);
    assert_eq!(late.up_to(1000), [(120, Due::Handshake)]);
    let mut greeted = Connection::new(timeouts);
    assert!(!greeted.clock.awaits_greeting());
    assert_eq!(greeted.up_to(1000), []);
}

#[test]
fn a_client_that_may_take_for_ever_still_greets() {
    let mut connection = Connection::new(OFF);
    connection.clock.on_connected(connection.start);
    assert!(connection.clock.awaits_greeting());
    assert_eq!(connection.up_to(1000), []);
    connection.clock.on_greeted(connection.start, connection.activity, 0.5);
    assert!(!connection.clock.awaits_greeting());
}

#[test]
fn a_graceful_shutdown_waits_for_its_ping_and_for_nothing_else() {
    let timeouts = Timeouts { handshake: seconds(120), goaway: seconds(20), ..OFF };
    let mut connection = Connection::new(Timeouts { max_idle: seconds(8), ..timeouts });
    connection.clock.on_connected(connection.start);
    connection.clock.on_go_away(connection.start);
    assert!(!connection.clock.awaits_greeting());
    assert_eq!(connection.up_to(1000), [(20, Due::GoAway)]);
}

#[test]
fn the_last_goaway_has_a_second_and_ends_all_other_deadlines() {
    let timeouts = Timeouts { handshake: seconds(1), keepalive_time: seconds(1), ..OFF };
    let mut connection = Connection::new(Timeouts { max_age: seconds(1), ..timeouts });
    connection.clock.on_go_away(connection.start);
    connection.clock.on_abort(connection.start);
    assert_eq!(connection.up_to(1000), [(1, Due::Abort)]);
}

#[test]
fn a_client_has_a_second_to_close_and_no_other_deadline() {
    let timeouts = Timeouts { keepalive_time: seconds(1), max_age: seconds(1), ..OFF };
    let mut connection = Connection::new(timeouts);
    connection.clock.on_abort(connection.start);
    connection.clock.on_linger(connection.start);
    assert!(!connection.clock.awaits_greeting());
    assert_eq!(connection.up_to(1000), [(1, Due::Linger)]);
}

const KEEPALIVE: Timeouts =
    Timeouts { keepalive_time: seconds(100), keepalive_timeout: seconds(20), ..OFF };

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let mut connection = Connection::new(KEEPALIVE);
    assert_eq!(connection.up_to(1000), [(100, Due::Ping), (120, Due::Keepalive)]);
}

#[test]
fn anything_that_comes_after_the_ping_is_an_answer() {
    let mut connection = Connection::new(KEEPALIVE);
    assert_eq!(connection.up_to(119), [(100, Due::Ping)]);
    connection.receive();
    // It is seen at 125.
    assert_eq!(connection.up_to(230), [(225, Due::Ping)]);
    connection.receive();
    assert_eq!(connection.up_to(1000), [(350, Due::Ping), (370, Due::Keepalive)]);
}

#[test]
fn a_long_timeout_delays_no_ping() {
    let mut connection =
        Connection::new(Timeouts { keepalive_timeout: seconds(1000), ..KEEPALIVE });
    assert_eq!(connection.up_to(100), [(100, Due::Ping)]);
    connection.receive();
    assert_eq!(connection.up_to(225), [(225, Due::Ping)]);
    assert_eq!(connection.up_to(10_000), [(1225, Due::Keepalive)]);
}

#[test]
fn a_client_is_pinged_a_keepalive_time_after_the_last_byte_and_a_quarter_at_most() {
    for last in [1, 24, 25, 26, 99] {
        let mut connection = Connection::new(KEEPALIVE);
        assert_eq!(connection.up_to(last), []);
        connection.receive();
        let (at, due) = connection.up_to(last + 125)[0];
        assert_eq!(due, Due::Ping);
        assert!((last + 100..=last + 125).contains(&at), "{at} after {last}");
    }
}

#[test]
fn a_client_that_never_stops_is_never_pinged() {
    let mut connection = Connection::new(KEEPALIVE);
    for second in (0..1000).step_by(20) {
        assert_eq!(connection.up_to(second), []);
        connection.receive();
    }
}

#[test]
fn without_a_timeout_a_ping_is_sent_and_nobody_is_closed() {
    let mut connection = Connection::new(Timeouts { keepalive_timeout: NEVER, ..KEEPALIVE });
    assert_eq!(connection.up_to(10_000), [(100, Due::Ping)]);
}

const IDLE: Timeouts = Timeouts { max_idle: seconds(100), ..OFF };

#[test]
fn a_connection_that_never_has_a_call_is_idle() {
    assert_eq!(Connection::new(IDLE).up_to(1000), [(100, Due::Idle)]);
}

#[test]
fn bytes_without_calls_are_no_use() {
    let mut connection = Connection::new(IDLE);
    for second in 0..100 {
        assert_eq!(connection.up_to(second), []);
        connection.receive();
    }
    assert_eq!(connection.up_to(100), [(100, Due::Idle)]);
}

#[test]
fn a_connection_with_a_call_is_not_idle_until_the_time_has_passed_after_its_end() {
    for end in [1, 10, 49, 50, 51, 99, 1000] {
        let mut connection = Connection::new(IDLE);
        connection.begin_call();
        assert_eq!(connection.up_to(end), []);
        connection.end_call(1);
        let idle = connection.up_to(10_000);
        let [(at, Due::Idle)] = idle[..] else { panic!("{idle:?}") };
        assert!((end + 100..=end + 150).contains(&at), "{at} after {end}");
    }
}

#[test]
fn a_short_call_between_two_looks_counts() {
    let mut connection = Connection::new(IDLE);
    assert_eq!(connection.up_to(99), []);
    connection.begin_call();
    connection.end_call(1);
    assert_eq!(connection.up_to(1000), [(200, Due::Idle)]);
}

#[test]
fn an_old_connection_goes_away_and_after_its_grace_is_aborted() {
    let timeouts = Timeouts { max_age: seconds(100), max_age_grace: seconds(30), ..OFF };
    let mut connection = Connection::new(timeouts);
    assert_eq!(connection.up_to(1000), [(100, Due::Age), (130, Due::Grace)]);
    let mut patient = Connection::new(Timeouts { max_age: seconds(100), ..OFF });
    assert_eq!(patient.up_to(1000), [(100, Due::Age)]);
}

#[test]
fn the_age_is_spread_over_a_tenth_less_and_a_tenth_more() {
    for (spread, expected) in [(0.0, 90), (0.25, 95), (0.5, 100), (1.0, 110)] {
        let mut connection = Connection::new(Timeouts { max_age: seconds(100), ..OFF });
        connection.clock.on_greeted(connection.start, connection.activity, spread);
        assert_eq!(connection.up_to(1000), [(expected, Due::Age)]);
    }
    let largest = Duration::MAX - Duration::from_nanos(1);
    assert!(spread_out(largest, 1.0) >= largest, "no overflow");
}

#[test]
fn the_age_goes_on_while_the_connection_drains() {
    let timeouts = Timeouts { max_age: seconds(100), max_age_grace: seconds(30), ..OFF };
    let mut connection = Connection::new(timeouts);
    connection.clock.on_go_away(connection.start);
    assert_eq!(connection.up_to(1000), [(100, Due::Age), (130, Due::Grace)]);
}

#[test]
fn a_timer_that_comes_late_or_for_nothing_does_no_harm() {
    let mut connection = Connection::new(Timeouts { max_age: seconds(50), ..KEEPALIVE });
    assert_eq!(connection.clock.on_deadline(connection.start, connection.activity), None);
    let late = connection.start + seconds(5000);
    assert_eq!(connection.clock.on_deadline(late, connection.activity), Some(Due::Age));
    assert_eq!(connection.clock.on_deadline(late, connection.activity), None);
}

#[test]
fn a_time_of_zero_does_not_spin() {
    let zero = Duration::ZERO;
    let timeouts = Timeouts { keepalive_time: zero, keepalive_timeout: zero, ..OFF };
    let mut connection = Connection::new(timeouts);
    assert_eq!(connection.up_to(0), []);
    assert_eq!(connection.up_to(1), [(0, Due::Ping), (0, Due::Keepalive)]);
}

#[test]
fn no_ping_is_sent_while_none_may_be_and_the_silence_counts_from_then() {
    let mut it = Connection::new(Timeouts { keepalive_time: seconds(40), ..OFF });
    it.activity.may_ping = false;
    assert_eq!(it.up_to(200), []);
    it.activity.may_ping = true;
    assert_eq!(it.up_to(239), []);
    assert_eq!(it.up_to(250), [(250, Due::Ping)]);
}

#[test]
fn a_server_has_until_the_connects_deadline_to_greet() {
    let mut it = Connection::new(OFF);
    it.clock.on_connected_to_server(Some(it.start + seconds(20)));
    assert!(it.clock.awaits_greeting());
    assert_eq!(it.up_to(100), [(20, Due::Handshake)]);
}
