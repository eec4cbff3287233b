//! Calls that do not count, calls that do, and the talk with the driver between.

use super::{Failure, Options};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A client under measurement, on one connection.
pub trait Client: Sync {
    /// Greets once, waits for the reply, and checks it.
    ///
    /// # Errors
    /// If anything is wrong with the call.
    fn greet(&self) -> Result<(), Failure>;

    /// Greets `calls` times with `at_once` calls under way, on this thread. Each reply is checked.
    ///
    /// # Errors
    /// If anything is wrong with a call.
    fn greet_many(&self, at_once: usize, calls: usize) -> Result<(), Failure>;
}

/// How long single calls took, where that is measured.
type Times = Vec<Duration>;

/// Does what the options say.
///
/// # Errors
/// If a call fails, or the driver has gone.
pub fn run(client: &impl Client, options: &Options) -> Result<(), Failure> {
    match (options.threads, options.at_once) {
        (0, _) | (_, 0) => Err("neither THREADS nor AT_ONCE can be 0".into()),
        (1, 1) => measure(options, |calls| one_by_one(client, calls)),
        (1, at_once) => measure(options, |calls| {
            client.greet_many(at_once, calls)?;
            Ok(Times::new())
        }),
        (threads, 1) => thread::scope(|scope| {
            let crew: Vec<Hand> = (0..threads).map(|_| Hand::spawn(scope, client)).collect();
            measure(options, |calls| together(&crew, calls))
        }),
        _ => Err("either THREADS or AT_ONCE has to be 1".into()),
    }
}

fn measure(
    options: &Options,
    mut work: impl FnMut(usize) -> Result<Times, Failure>,
) -> Result<(), Failure> {
    work(options.warm_up)?;
    tell("warm")?;
    let start = Instant::now();
    let times = work(options.calls)?;
    let elapsed = start.elapsed();
    tell("done")?;
    tell(&format!("took {} {}", elapsed.as_nanos(), percentiles(times)))?;
    Ok(())
}

fn one_by_one(client: &impl Client, calls: usize) -> Result<Times, Failure> {
    let mut times = Times::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        client.greet()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Says something, and waits until the driver wants to hear more.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    io::stdin().read_line(&mut String::new()).map(drop)
}

fn percentiles(mut times: Times) -> String {
    if times.is_empty() {
        return "- -".to_owned();
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_nanos();
    format!("{} {}", at(50), at(99))
}

/// A thread that makes calls when it is told to, until nobody can tell it any more.
struct Hand {
    orders: Sender<usize>,
    results: Receiver<Result<Times, Failure>>,
}

impl Hand {
    fn spawn<'s, C: Client>(scope: &'s thread::Scope<'s, '_>, client: &'s C) -> Self {
        let (orders, to_do) = channel();
        let (to_tell, results) = channel();
        scope.spawn(move || {
            // Who gives orders waits for the results.
            to_do.iter().try_for_each(|calls| to_tell.send(one_by_one(client, calls)))
        });
        Self { orders, results }
    }
}

/// The calls are shared out among the threads.
fn together(crew: &[Hand], calls: usize) -> Result<Times, Failure> {
    for (index, hand) in crew.iter().enumerate() {
        hand.orders.send((calls + index) / crew.len())?;
    }
    let mut times = Times::new();
    for hand in crew {
        times.extend(hand.results.recv()??);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::{Duration, percentiles};

    #[test]
    fn finds_percentiles() {
        let times = (0..=100).rev().map(Duration::from_nanos).collect();
        assert_eq!(percentiles(times), "50 99");
        assert_eq!(percentiles(Vec::new()), "- -");
    }
}
