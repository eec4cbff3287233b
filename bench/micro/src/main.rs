//! What creating and dropping a completion queue costs, beside the cheapest objects that the
//! kernel offers for the same end: an eventfd and an epoll instance.
//!
//! `micro time` prints a line for each operation: its name, a tab, and the nanoseconds of one
//! operation in each batch. `micro churn N` creates and drops `N` queues and prints nothing, to
//! be run under strace.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use rustix::event::epoll::{self, CreateFlags};
use rustix::event::{EventfdFlags, eventfd};
use turnstile::CompletionQueue;

const BATCHES: usize = 51;
const OPERATIONS: u32 = 2_000;

fn queue() {
    drop(black_box(CompletionQueue::<u32>::new()));
}

fn event() {
    drop(black_box(eventfd(0, EventfdFlags::CLOEXEC)).expect("the kernel gives an eventfd"));
}

fn epoll() {
    drop(black_box(epoll::create(CreateFlags::CLOEXEC)).expect("the kernel gives an epoll"));
}

/// Nanoseconds of one operation in each batch, after one batch that does not count.
fn time(operation: fn()) -> Vec<String> {
    let batch = |_| {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            operation();
        }
        let nanoseconds = start.elapsed().as_nanos() as f64;
        format!("{:.2}", nanoseconds / f64::from(OPERATIONS))
    };
    (0..=BATCHES).map(batch).skip(1).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["time"] => {
            let operations: [(&str, fn()); 3] = [
                ("CompletionQueue new + drop", queue),
                ("eventfd + close", event),
                ("epoll_create1 + close", epoll),
            ];
            for (name, operation) in operations {
                println!("{name}\t{}", time(operation).join(" "));
            }
        }
        ["churn", count] => (0..count.parse::<u64>()?).for_each(|_| queue()),
        _ => return Err("give `time`, or `churn` and a number".into()),
    }
    Ok(())
}
