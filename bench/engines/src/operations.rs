//! What is measured. Each operation runs on threads of its own, on the cores that are given.

use crate::contenders::{Contender, Place};
use crate::cores::{self, Cores};
use crate::pair;
use rustix::thread::gettid;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{hint, thread};

/// Something that is measured once a round for each contender.
pub(crate) struct Operation {
    /// The names of what comes out.
    pub(crate) measures: &'static [&'static str],
    pub(crate) run: fn(&dyn Contender, Cores) -> io::Result<Vec<f64>>,
}

/// All operations.
pub(crate) const ALL: [Operation; 8] = [
    Operation { measures: &["create + drop, ns"], run: create_and_drop },
    Operation { measures: &["kick, ns"], run: kick },
    Operation { measures: &["ping-pong, ns"], run: ping_pong },
    Operation { measures: &["event, ns"], run: |contender, cores| event(contender, cores, 0) },
    Operation {
        measures: &["event, 10,000 idle, ns"],
        run: |contender, cores| event(contender, cores, IDLE),
    },
    Operation {
        measures: &["events/s, 1 thread", "CPU/event, 1 thread, ns"],
        run: |contender, cores| events(contender, cores, 1),
    },
    Operation {
        measures: &["events/s, 2 threads", "CPU/event, 2 threads, ns"],
        run: |contender, cores| events(contender, cores, 2),
    },
    Operation {
        measures: &["events/s, 4 threads", "CPU/event, 4 threads, ns"],
        run: |contender, cores| events(contender, cores, 4),
    },
];

/// How many fds are watched that nothing happens to, where there are any.
const IDLE: usize = 10_000;

/// How many fds are open at once, and some to spare.
pub(crate) const MOST_FDS: u64 = 10_500;

/// How many kicks are given in one measurement.
const KICKS: u32 = 300;

/// The pairs of sockets that are busy together.
const PAIRS: usize = 64;

/// How long a measurement takes that is not counted otherwise, after half as long that does not count.
const LENGTH: Duration = Duration::from_millis(60);

/// How many operations are done between two looks at the clock.
const BATCH: u64 = 32;

/// A place to wait at comes and goes.
fn create_and_drop(contender: &dyn Contender, cores: Cores) -> io::Result<Vec<f64>> {
    cores.pin(0)?;
    Ok(vec![time_each(cores::thread_time, || contender.create_and_drop())?])
}

/// A thread sleeps, another one kicks it: the median time until the first is back.
fn kick(contender: &dyn Contender, cores: Cores) -> io::Result<Vec<f64>> {
    let mut place = only_place(contender)?;
    let kick = place.kick();
    let (told, tells) = mpsc::channel();
    // Rounds that the waiter has begun, and those that it has ended.
    let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let (begun, ended) = (&begun, &ended);
    let spin_until = |counter: &AtomicU64, count| {
        while counter.load(SeqCst) < count {
            hint::spin_loop();
        }
    };
    let mut times = thread::scope(|scope| {
        let waiter = scope.spawn(move || -> io::Result<Vec<Instant>> {
            cores.pin(0)?;
            let _ = told.send(gettid());
            let mut back = Vec::new();
            for round in 1..=u64::from(KICKS) {
                begun.store(round, SeqCst);
                place.turn()?;
                back.push(Instant::now());
                ended.store(round, SeqCst);
            }
            Ok(back)
        });
        cores.pin(1)?;
        let thread = tells.recv().map_err(io::Error::other)?;
        let mut kicked = Vec::new();
        for round in 1..=u64::from(KICKS) {
            // It sleeps nowhere else.
            spin_until(begun, round);
            while !cores::is_asleep(thread)? {}
            kicked.push(Instant::now());
            kick();
            spin_until(ended, round);
        }
        let back = waiter.join().expect("the waiter does not panic")?;
        let pairs = kicked.iter().zip(back);
        Ok::<_, io::Error>(pairs.map(|(kicked, back)| back - *kicked).collect::<Vec<_>>())
    })?;
    times.sort_unstable();
    Ok(vec![times[times.len() / 2].as_nanos() as f64])
}

/// A byte goes to another thread and comes back: that one blocks in read(2), this one in the contender.
fn ping_pong(contender: &dyn Contender, cores: Cores) -> io::Result<Vec<f64>> {
    let mut place = only_place(contender)?;
    let (ours, theirs) = pair::new()?;
    theirs.set_nonblocking(false)?;
    let got = watch(&mut *place, ours.try_clone()?)?;
    let trip = thread::scope(|scope| {
        let echo = scope.spawn(move || -> io::Result<()> {
            cores.pin(1)?;
            let mut byte = [0];
            while (&theirs).read(&mut byte)? > 0 {
                (&theirs).write_all(&byte)?;
            }
            Ok(())
        });
        cores.pin(0)?;
        let trip = time_each(cores::time, || {
            let before = got.load(SeqCst);
            pair::write(&ours);
            while got.load(SeqCst) == before {
                place.turn()?;
            }
            Ok(())
        });
        ours.shutdown(std::net::Shutdown::Write)?;
        echo.join().expect("the echo does not panic")?;
        trip
    })?;
    Ok(vec![trip])
}

/// One thread writes to an fd, waits for it, and reads, while others are idle: a wait for each event.
fn event(contender: &dyn Contender, cores: Cores, idle: usize) -> io::Result<Vec<f64>> {
    cores.pin(0)?;
    let mut place = only_place(contender)?;
    for _ in 0..idle / 2 {
        let (one, other) = pair::new()?;
        place.watch(one.into(), Box::new(|| ()))?;
        place.watch(other.into(), Box::new(|| ()))?;
    }
    let (reader, writer) = pair::new()?;
    let got = watch(&mut *place, reader)?;
    let time = time_each(cores::thread_time, || {
        let before = got.load(SeqCst);
        pair::write(&writer);
        while got.load(SeqCst) == before {
            place.turn()?;
        }
        Ok(())
    })?;
    drop(place);
    Ok(vec![time])
}

/// A byte is in each of many pairs, and whoever reads one writes the next: events of all threads in a
/// second, and the processor time of each.
fn events(contender: &dyn Contender, cores: Cores, threads: usize) -> io::Result<Vec<f64>> {
    let mut places = contender.places(threads)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut counts = Vec::new();
    for number in 0..PAIRS {
        let (reader, writer) = pair::new()?;
        let (count, is_over) = (Arc::new(AtomicU64::new(0)), is_over.clone());
        counts.push(count.clone());
        pair::write(&writer);
        let then = move || {
            count.fetch_add(1, SeqCst);
            if !is_over.load(SeqCst) {
                pair::write(&writer);
            }
        };
        places[number % threads].watch(reader.into(), Box::new(then))?;
    }
    let kicks: Vec<_> = places.iter().map(|place| place.kick()).collect();
    let now = || {
        let count: u64 = counts.iter().map(|count| count.load(SeqCst)).sum();
        (count as f64, cores::time(), cores::process_time())
    };
    let is_over = &*is_over;
    let (before, after) = thread::scope(|scope| {
        let work = |(index, mut place): (usize, Box<dyn Place>)| {
            scope.spawn(move || -> io::Result<()> {
                cores.pin(index)?;
                while !is_over.load(SeqCst) {
                    place.turn()?;
                }
                Ok(())
            })
        };
        let workers: Vec<_> = places.into_iter().enumerate().map(work).collect();
        thread::sleep(LENGTH / 2);
        let before = now();
        thread::sleep(LENGTH * 2);
        let after = now();
        is_over.store(true, SeqCst);
        kicks.iter().for_each(|kick| kick());
        for worker in workers {
            worker.join().expect("a worker does not panic")?;
        }
        Ok::<_, io::Error>((before, after))
    })?;
    let count = after.0 - before.0;
    let cpu = (after.2 - before.2).as_nanos() as f64;
    Ok(vec![count / (after.1 - before.1).as_secs_f64(), cpu / count])
}

fn only_place(contender: &dyn Contender) -> io::Result<Box<dyn Place>> {
    contender.places(1)?.pop().ok_or_else(|| io::Error::other("there is no place"))
}

/// Counts what comes.
fn watch(
    place: &mut dyn Place,
    reader: std::os::unix::net::UnixStream,
) -> io::Result<Arc<AtomicU64>> {
    let got = Arc::new(AtomicU64::new(0));
    let count = got.clone();
    let then = move || {
        count.fetch_add(1, SeqCst);
    };
    place.watch(reader.into(), Box::new(then))?;
    Ok(got)
}

/// The nanoseconds of one time of many, by a clock.
fn time_each(clock: fn() -> Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let mut run = |length| -> io::Result<f64> {
        let (start, mut times) = (clock(), 0);
        loop {
            for _ in 0..BATCH {
                once()?;
            }
            times += BATCH;
            let passed = clock() - start;
            if passed >= length {
                return Ok(passed.as_nanos() as f64 / times as f64);
            }
        }
    };
    run(LENGTH / 2)?;
    run(LENGTH)
}
