//! Greets with Turnstile's clients: the blocking stub, the async one with `block_on`, and calls on a
//! completion queue.

use futures_util::stream::{FuturesUnordered, TryStreamExt};
use turnstile::client::Call;
use turnstile::{Batch, CallOptions, Channel, CompletionQueue, Deadline, Event, block_on, codec};
use turnstile_bench_clients::{Client, Failure, NAME, Options, check, run};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};

const SHUT_DOWN: &str = "the queue is shut down";

fn request() -> HelloRequest {
    HelloRequest { name: NAME.to_owned() }
}

struct Blocking(greeter::BlockingClient);

impl Client for Blocking {
    fn greet(&self) -> Result<(), Failure> {
        check(&self.0.say_hello(request())?.message)
    }

    fn greet_many(&self, _: usize, _: usize) -> Result<(), Failure> {
        Err("a thread has one call of a blocking stub at a time".into())
    }
}

struct Async(greeter::Client);

impl Async {
    async fn greet(&self) -> Result<(), Failure> {
        check(&self.0.say_hello(request()).await?.message)
    }

    async fn greet_repeatedly(&self, calls: usize) -> Result<(), Failure> {
        for _ in 0..calls {
            self.greet().await?;
        }
        Ok(())
    }
}

impl Client for Async {
    fn greet(&self) -> Result<(), Failure> {
        block_on(self.greet())
    }

    fn greet_many(&self, at_once: usize, calls: usize) -> Result<(), Failure> {
        let series = |index| self.greet_repeatedly((calls + index) / at_once);
        let all: FuturesUnordered<_> = (0..at_once).map(series).collect();
        block_on(all.try_collect())
    }
}

/// The tag is the call's place among those under way.
struct Queue {
    channel: Channel,
    queue: CompletionQueue<usize>,
}

impl Queue {
    fn begin(&self, place: usize) -> Result<Call<usize>, Failure> {
        let path = greeter::SAY_HELLO.path();
        let call = self.channel.call(path, CallOptions::new(), &self.queue);
        let batch = Batch::new()
            .send_message(codec::encode(&request()))
            .send_close()
            .receive_message()
            .receive_status();
        call.start(batch, place)?;
        Ok(call)
    }
}

fn conclude(event: &mut Event<usize>) -> Result<(), Failure> {
    let status = event.take_status().ok_or("the call has no status")?;
    let reply = event.take_message().filter(|_| status.is_ok()).ok_or(status)?;
    check(&codec::decode::<HelloReply>(reply)?.message)
}

impl Client for Queue {
    fn greet(&self) -> Result<(), Failure> {
        let _call = self.begin(0)?;
        conclude(&mut self.queue.next(Deadline::NONE).ok_or(SHUT_DOWN)?)
    }

    /// In turns, as a thread does that has many calls: what those begun in one have to send leaves in one
    /// write.
    fn greet_many(&self, at_once: usize, calls: usize) -> Result<(), Failure> {
        let first = at_once.min(calls);
        let mut under_way =
            (0..first).map(|place| self.begin(place)).collect::<Result<Vec<_>, _>>()?;
        let (mut begun, mut over) = (first, 0);
        while over < calls {
            for mut event in self.queue.turn(Deadline::NONE).ok_or(SHUT_DOWN)? {
                conclude(&mut event)?;
                over += 1;
                if begun < calls {
                    begun += 1;
                    under_way[event.tag] = self.begin(event.tag)?;
                }
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::from_args()?;
    let channel = Channel::connect(&options.addr.to_string())?;
    match options.style.as_str() {
        "blocking" => run(&Blocking(greeter::BlockingClient::new(channel)), &options),
        "async" => run(&Async(greeter::Client::new(channel)), &options),
        "queue" if options.threads > 1 => Err("events would go to any thread of the queue".into()),
        "queue" => run(&Queue { channel, queue: CompletionQueue::new() }, &options),
        other => Err(format!("there is no style {other:?}: blocking, async and queue are").into()),
    }
}
