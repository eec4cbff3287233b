//! Greets with tonic's client, as a user of tonic would write it: one thread that waits in a
//! current-thread runtime, or several that share one.

use futures_util::stream::{FuturesUnordered, TryStreamExt};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use turnstile_bench_clients::tonic_helloworld::HelloRequest;
use turnstile_bench_clients::tonic_helloworld::greeter_client::GreeterClient;
use turnstile_bench_clients::{Client, Failure, NAME, Options, check, run};

struct Tonic {
    runtime: Runtime,
    greeter: GreeterClient<Channel>,
}

/// tonic wants the client for itself while it makes a call, and is made to be cloned for that.
async fn greet(mut greeter: GreeterClient<Channel>) -> Result<(), Failure> {
    let reply = greeter.say_hello(HelloRequest { name: NAME.to_owned() }).await?;
    check(&reply.get_ref().message)
}

async fn greet_repeatedly(greeter: GreeterClient<Channel>, calls: usize) -> Result<(), Failure> {
    for _ in 0..calls {
        greet(greeter.clone()).await?;
    }
    Ok(())
}

impl Client for Tonic {
    fn greet(&self) -> Result<(), Failure> {
        self.runtime.block_on(greet(self.greeter.clone()))
    }

    fn greet_many(&self, at_once: usize, calls: usize) -> Result<(), Failure> {
        let series = |index| greet_repeatedly(self.greeter.clone(), (calls + index) / at_once);
        let all: FuturesUnordered<_> = (0..at_once).map(series).collect();
        self.runtime.block_on(all.try_collect())
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::from_args()?;
    if options.style != "async" {
        return Err(format!("there is no style {:?}: only async", options.style).into());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let endpoint = Endpoint::from_shared(format!("http://{}", options.addr))?.tcp_nodelay(true);
    let channel = runtime.block_on(endpoint.connect())?;
    let client = Tonic { runtime, greeter: GreeterClient::new(channel) };
    run(&client, &options)
}
