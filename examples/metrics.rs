//! A greeter with metrics, for Prometheus.
//!
//! ```text
//! cargo run --release --example metrics
//! grpcurl -plaintext -import-path proto -proto helloworld.proto -d '{"name":"world"}' \
//!     127.0.0.1:50051 helloworld.Greeter/SayHello
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! A `Stats` is told of every call and counts it; a thread of this example, and not of the library,
//! serves a page with the counts. The metrics are those of gRFC A66, by which gRPC's own dashboards
//! find them, with their names as Prometheus writes them: `grpc.server.call.duration`, in seconds,
//! is `grpc_server_call_duration_seconds` there. `METRICS=host:port` moves the page.

#![expect(clippy::print_stdout, reason = "a program talks")]

mod common;

use common::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, thread};
use turnstile::stats::{CallEnd, CallInfo, Stats};
use turnstile::{Request, Response, Server, Status};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};

struct MyGreeter;

impl greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("say your name, so that I can greet you"));
        }
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
    }
}

fn main() -> turnstile::Result<()> {
    let args = Args::read("127.0.0.1:50051", 1);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;

    // The metrics are shared: the server writes them, and the page reads them.
    let metrics = Arc::new(Metrics::default());
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        .stats(metrics.clone())
        .bind(&args.listen)?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    let page = env::var("METRICS").unwrap_or_else(|_| "127.0.0.1:9464".to_owned());
    let page = TcpListener::bind(&page)?;
    println!("metrics on http://{}/metrics", page.local_addr()?);
    // It has no end of its own: it goes with the process.
    thread::spawn(move || serve_page(&page, &metrics));

    thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| server.run());
        }
        // This thread waits for a signal; the others serve.
        signals.forever().next();
        server.shutdown(Duration::from_secs(10));
    });
    Ok(())
}

/// What has been counted. One lock is enough here, since it is never held for long; a server with
/// many threads would count in an OpenTelemetry or Prometheus library.
#[derive(Default)]
struct Metrics(Mutex<Counts>);

#[derive(Clone, Default)]
struct Counts {
    /// Calls that have begun, by method.
    started: BTreeMap<String, u64>,
    /// Calls that have ended, by method and status.
    ended: BTreeMap<(String, &'static str), Ended>,
}

#[derive(Clone)]
struct Ended {
    duration: Histogram,
    received: Histogram,
    sent: Histogram,
}

impl Stats for Metrics {
    fn call_started(&self, call: &CallInfo<'_>) {
        // `other` for methods that this server does not have: a client that makes up names must
        // not fill the memory of this process and of Prometheus.
        let method = call.metric_method().to_owned();
        *self.lock().started.entry(method).or_default() += 1;
    }

    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        let labels = (call.metric_method().to_owned(), end.code.as_str());
        let mut counts = self.lock();
        let ended = counts.ended.entry(labels).or_insert_with(Ended::new);
        ended.duration.add(end.duration.as_secs_f64());
        ended.received.add(end.received.compressed_bytes as f64);
        ended.sent.add(end.sent.compressed_bytes as f64);
    }
}

impl Metrics {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bounds that gRFC A66 wants, in seconds and in bytes. They go from 10 microseconds on, as a
/// call in one's own network takes far less than the usual first bucket of 5 milliseconds.
const SECONDS: [f64; 41] = [
    0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];
const BYTES: [f64; 14] = [
    0.0,
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262144.0,
    1048576.0,
    4194304.0,
    16777216.0,
    67108864.0,
    268435456.0,
    1073741824.0,
    4294967296.0,
];

impl Ended {
    fn new() -> Self {
        let bytes = || Histogram::new(&BYTES);
        Self { duration: Histogram::new(&SECONDS), received: bytes(), sent: bytes() }
    }
}

/// How many values there were up to each bound.
#[derive(Clone)]
struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above them all.
    buckets: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, buckets: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket] += 1;
        self.sum += value;
    }

    /// Writes its series: a bucket's count includes those of all buckets below it.
    fn write(&self, page: &mut String, name: &str, labels: &str) -> fmt::Result {
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(&self.buckets) {
            count += bucket;
            writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        writeln!(page, "{name}_sum{{{labels}}} {}", self.sum)?;
        writeln!(page, "{name}_count{{{labels}}} {count}")
    }
}

/// The page, in Prometheus' text format.
fn render(counts: &Counts) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let name = "grpc_server_call_started_total";
    writeln!(page, "# HELP {name} Calls that have begun.\n# TYPE {name} counter")?;
    for (method, count) in &counts.started {
        writeln!(page, "{name}{{grpc_method={method:?}}} {count}")?;
    }
    type Of = fn(&Ended) -> &Histogram;
    let histograms: [(&str, &str, Of); 3] = [
        ("grpc_server_call_duration_seconds", "How long calls took.", |it| &it.duration),
        (
            "grpc_server_call_rcvd_total_compressed_message_size_bytes",
            "Size of a call's request messages.",
            |it| &it.received,
        ),
        (
            "grpc_server_call_sent_total_compressed_message_size_bytes",
            "Size of a call's response messages.",
            |it| &it.sent,
        ),
    ];
    for (name, help, histogram_of) in histograms {
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        for ((method, status), ended) in &counts.ended {
            let labels = format!("grpc_method={method:?},grpc_status={status:?}");
            histogram_of(ended).write(&mut page, name, &labels)?;
        }
    }
    Ok(page)
}

/// Serves the page to one client after the other. Prometheus asks every few seconds.
fn serve_page(listener: &TcpListener, metrics: &Metrics) {
    for client in listener.incoming() {
        // One that fails is not the others' concern.
        if let Err(error) = client.and_then(|client| answer(client, metrics)) {
            println!("a client of the metrics page failed: {error}");
        }
    }
}

/// As much of HTTP/1.1 as a page needs.
fn answer(mut client: TcpStream, metrics: &Metrics) -> io::Result<()> {
    // Whoever connects and says nothing must not keep the next one waiting for long.
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = String::new();
    let mut head = BufReader::new(&client);
    head.read_line(&mut request)?;
    // Headers are of no interest, but must be read before the connection is closed.
    let mut header = String::new();
    while head.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, body) = if request.starts_with("GET /metrics ") {
        // Of a copy, as calls wait for the lock.
        let counts = metrics.lock().clone();
        ("200 OK", render(&counts).map_err(io::Error::other)?)
    } else {
        ("404 Not Found", "The metrics are at /metrics.\n".to_owned())
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len(),
    )
}
